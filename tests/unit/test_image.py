"""The stand-in for a Docker engine does what the Dockerfile tests rely on."""

from pathlib import Path

import pytest

from tests.fakes.image import Image, instructions

TWO_STAGES = """
# a comment
FROM base AS build
WORKDIR /src
COPY kept.txt renamed.txt ./
RUN mkdir -p /opt/made \\
    && cp kept.txt /opt/made/
ENV SECRET=only-here

FROM base
COPY --from=build /opt/made /opt/made
COPY renamed.txt /etc/app/other.txt
ENV PATH=/opt/made:$PATH GREETING="good day"
WORKDIR /
USER 10001:10001
ENTRYPOINT ["/opt/made/start"]
CMD ["serve", "--config", "/etc/app/other.txt"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder to build from: two files that are copied and one that is not."""
    folder = tmp_path / "context"
    folder.mkdir()
    for name in ("kept.txt", "renamed.txt", "stray.txt"):
        (folder / name).write_text(name)
    return folder


def build(tmp_path: Path, context: Path, text: str) -> Image:
    """Build a Dockerfile given as text."""
    dockerfile = context / "Dockerfile"
    dockerfile.write_text(text)
    image = Image(tmp_path / "image", context)
    image.folder.mkdir()
    image.build(dockerfile)
    return image


def test_instructions_join_continued_lines_without_comments() -> None:
    """One instruction may be written on several lines, with comments between."""
    text = '# first\nRUN one \\\n# between\n    && two\n\nCMD ["x"]\n'

    assert [("RUN", "one && two"), ("CMD", '["x"]')] == list(instructions(text))


def test_last_stage_holds_only_what_it_copied(tmp_path: Path, context: Path) -> None:
    """Files, environment and directories of the first stage stay there."""
    image = build(tmp_path, context, TWO_STAGES)

    files = sorted(str(path.relative_to(image.root)) for path in image.root.rglob("*") if path.is_file())
    assert ["etc/app/other.txt", "opt/made/kept.txt"] == files
    assert "SECRET" not in image.environment
    assert "good day" == image.environment["GREETING"]
    assert image.environment["PATH"].startswith(f"{image.root}/opt/made:")


def test_command_points_into_the_folder(tmp_path: Path, context: Path) -> None:
    """What would start in the container starts with the folder's paths."""
    image = build(tmp_path, context, TWO_STAGES)

    root = image.root
    assert [f"{root}/opt/made/start", "serve", "--config", f"{root}/etc/app/other.txt"] == image.command()
    assert [f"{root}/opt/made/start", "demo"] == image.command("demo")


@pytest.mark.parametrize(
    "text",
    ["FROM base\nRUN false\n", "FROM base\nCOPY absent.txt /etc/\n", 'FROM base\nSHELL ["x"]\n'],
    ids=["failing command", "missing file", "unknown instruction"],
)
def test_what_an_engine_refuses_is_refused(tmp_path: Path, context: Path, text: str) -> None:
    """A Dockerfile that would not build does not build here either."""
    with pytest.raises((RuntimeError, FileNotFoundError, KeyError)):
        build(tmp_path, context, text)
