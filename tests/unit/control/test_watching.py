"""Noticing a changed file, however it was changed."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcs_gateway.control.watching import FileWatch
from tests.fakes.waiting import until


class Watched:
    """A file that is watched, and how often it was said to have changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes = 0
        self.stop = asyncio.Event()

    async def changed(self) -> None:
        self.changes += 1

    async def settle(self) -> None:
        """Return when whatever was written before has been seen: a change of the file is the sign."""
        expected = self.changes + 1
        self.path.write_text(f"settled {expected}")
        await until(lambda: self.changes >= expected)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A watched file in a directory of its own."""
    path = tmp_path / "gateway.yaml"
    path.write_text("one")
    watched = Watched(path)
    task = asyncio.create_task(FileWatch(path).run(watched.changed, watched.stop))
    other = tmp_path / "first"
    await begun(watched, other)
    yield watched
    watched.stop.set()
    await task


async def begun(watched: Watched, scratch: Path) -> None:
    """Write the file until the watch, which starts in a thread, has seen it."""
    async with asyncio.timeout(5):
        while not watched.changes:
            watched.path.write_text(f"begun {scratch}")
            os.utime(watched.path)
            await asyncio.sleep(0.05)
    watched.changes = 0


async def test_write_in_place_is_seen(watched: Watched) -> None:
    """As some editors do it."""
    watched.path.write_text("two")

    await until(lambda: watched.changes == 1)


async def test_every_replacement_is_seen(watched: Watched) -> None:
    """As other editors do it: the second rename too, when the first file is long gone."""
    for number in (1, 2, 3):
        new = watched.path.with_suffix(".new")
        new.write_text(f"replacement {number}")
        new.rename(watched.path)
        await until(lambda expected=number: watched.changes == expected)  # type: ignore[misc]


async def test_other_files_and_equal_bytes_are_no_change(watched: Watched) -> None:
    """A log in the same directory, or a file saved without an edit, reloads nothing."""
    (watched.path.parent / "access.log").write_text("line\n")
    watched.path.write_text(watched.path.read_text())
    os.utime(watched.path)
    await watched.settle()

    assert watched.changes == 1


async def test_file_that_is_away_is_no_change_until_it_is_back(watched: Watched) -> None:
    """Between removing and writing there is nothing to read."""
    watched.path.unlink()
    await asyncio.sleep(0)
    await watched.settle()

    assert watched.changes == 1


async def test_config_map_swap_is_seen(tmp_path: Path) -> None:
    """Kubernetes swaps a link to a directory; the file's own link never changes."""
    path = tmp_path / "gateway.yaml"
    path.symlink_to("..data/gateway.yaml")
    publish(tmp_path, "0")
    watched = Watched(path)
    task = asyncio.create_task(FileWatch(path).run(watched.changed, watched.stop))
    async with asyncio.timeout(5):
        while not watched.changes:
            publish(tmp_path, f"until it is watched {asyncio.get_running_loop().time()}")
            await asyncio.sleep(0.3)
    before = watched.changes

    publish(tmp_path, "new")
    await until(lambda: watched.changes > before)
    watched.stop.set()
    await task


def publish(directory: Path, text: str) -> None:
    """Swap the file in as the kubelet does: a new directory, and one rename of the link to it."""
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / "gateway.yaml").write_text(text)
    (directory / "..new").symlink_to(version.name)
    (directory / "..new").rename(directory / "..data")


async def test_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    """A watch that cannot be kept ends; SIGHUP still reloads."""
    watched = Watched(tmp_path / "gone" / "gateway.yaml")

    async with asyncio.timeout(5):
        await FileWatch(watched.path).run(watched.changed, watched.stop)
