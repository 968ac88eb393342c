"""What the shared set-up of the tests promises."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

REPOSITORY = Path(__file__).parents[2]

HANGS = """
import asyncio

async def test_hangs():
    await asyncio.Event().wait()

async def test_passes():
    await asyncio.sleep(0)
"""


def run_tests(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests given as text, in a process of their own with the shared set-up."""
    (folder / "conftest.py").write_text((REPOSITORY / "tests" / "conftest.py").read_text())
    (folder / "test_it.py").write_text(text)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            folder,
            *options,
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


async def test_asynchronous_tests_run_on_uvloop() -> None:
    """The suite runs on the event loop of production."""
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


@pytest.mark.parametrize(("option", "status"), [([], 0), (["--require-servers"], 1)])
def test_skip_fails_only_where_servers_are_required(tmp_path: Path, option: list[str], status: int) -> None:
    """A skipped test passes at the desk and fails where nothing may skip."""
    run = run_tests(tmp_path, "import pytest\n\ndef test_it():\n    pytest.skip('no server')\n", *option)

    assert status == run.returncode, run.stdout + run.stderr
    assert "no server" in run.stdout


def test_hanging_test_ends_and_the_others_go_on(tmp_path: Path) -> None:
    """On uvloop too the time limit ends a test that waits for nothing, and only that one."""
    options = (
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        "--timeout",
        "1",
    )

    run = run_tests(tmp_path, HANGS, *options)

    assert "1 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    assert "Timeout (>1.0s)" in run.stdout
