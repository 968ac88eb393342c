"""Noticing a changed file, however it was changed."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcs_gateway.control.watching import LOOK_EVERY_SECONDS, FileWatch, NamedFilesWatch, looks_of
from tests.fakes.clock import FakeClock
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


class NamedFiles:
    """
    Files that a configuration names, a clock, and how often they were said to have changed.

    Attributes:
        is_broken: The configuration cannot be read, so that its files are not either.
    """

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.changes = 0
        self.paths = [str(directory / "certificate"), str(directory / "key")]
        for path in self.paths:
            Path(path).write_text("a")
        self.is_broken = False
        self.read()

    def read(self) -> None:
        """Read the files, as a reload does."""
        if not self.is_broken:
            self.looks = looks_of(self.paths)

    async def changed(self) -> None:
        self.changes += 1
        self.read()

    async def look(self) -> None:
        """Let them be looked at once more."""
        self.clock.advance(LOOK_EVERY_SECONDS)
        await asyncio.sleep(0)
        await until(lambda: self.clock.sleepers)


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


class TestNamedFiles:
    """Certificates and keys, looked at once a second."""

    @pytest.fixture
    async def named(self, tmp_path: Path) -> AsyncIterator[NamedFiles]:
        """Two files that are watched."""
        named = NamedFiles(tmp_path)
        task = asyncio.create_task(NamedFilesWatch(lambda: named.looks, named.clock).run(named.changed))
        await until(lambda: named.clock.sleepers)
        yield named
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_change_is_told_when_it_has_settled(self, named: NamedFiles) -> None:
        """One after the other is replaced: told once, when they have looked the same twice."""
        Path(named.paths[0]).write_text("new")
        await named.look()
        Path(named.paths[1]).write_text("newer")
        await named.look()
        before = named.changes
        await named.look()
        await named.look()
        await named.look()

        assert (0, 1) == (before, named.changes)

    async def test_link_that_leads_elsewhere_is_a_change(self, named: NamedFiles, tmp_path: Path) -> None:
        """As a volume of Kubernetes is replaced."""
        other = tmp_path / "other"
        other.write_text("a")
        link = Path(named.paths[0])
        link.unlink()
        link.symlink_to(other)
        await named.look()
        await named.look()

        assert 1 == named.changes

    async def test_file_that_is_away_and_comes_back_the_same_is_told_twice_at_most(
        self, named: NamedFiles
    ) -> None:
        """A file that is missing is a change, since it can be used no more."""
        content = Path(named.paths[0]).read_text()
        Path(named.paths[0]).unlink()
        await named.look()
        await named.look()
        away = named.changes
        Path(named.paths[0]).write_text(content)
        await named.look()
        await named.look()

        assert (1, 2) == (away, named.changes)

    async def test_other_files_named_by_a_reload_are_no_change(
        self, named: NamedFiles, tmp_path: Path
    ) -> None:
        """They were read when they were named."""
        (tmp_path / "third").write_text("c")
        named.paths = [named.paths[0], str(tmp_path / "third")]
        named.read()
        await named.look()
        await named.look()
        unchanged = named.changes
        (tmp_path / "third").write_text("cc")
        await named.look()
        await named.look()

        assert (0, 1) == (unchanged, named.changes)

    async def test_file_replaced_just_after_it_was_read_is_a_change(
        self, named: NamedFiles, tmp_path: Path
    ) -> None:
        """A new configuration comes first, and the certificate that it names within the second."""
        (tmp_path / "third").write_text("c")
        await named.look()
        named.paths = [str(tmp_path / "third")]
        named.read()
        (tmp_path / "third").write_text("cc")
        await named.look()
        await named.look()
        await named.look()

        assert 1 == named.changes

    async def test_file_that_was_missed_is_a_change_when_it_comes(
        self, named: NamedFiles, tmp_path: Path
    ) -> None:
        """The configuration that names it was refused for want of it."""
        named.paths = [str(tmp_path / "third")]
        named.read()
        await named.look()
        await named.look()
        missing = named.changes
        (tmp_path / "third").write_text("c")
        await named.look()
        await named.look()

        assert (0, 1) == (missing, named.changes)

    async def test_change_that_cannot_be_read_is_told_once(self, named: NamedFiles) -> None:
        """The configuration is broken: nothing is gained by trying it each second."""
        named.is_broken = True
        Path(named.paths[0]).write_text("new")
        for _ in range(5):
            await named.look()

        assert 1 == named.changes


def test_what_is_no_path_looks_like_what_is_not_there() -> None:
    """That it cannot be read is told by who reads it."""
    assert {"a\0b": ()} == looks_of(["a\0b"])
