"""
Noticing that the configuration file was changed.

Its directory is watched, not the file: an editor and a ConfigMap replace the file, and a watch on the old one
would see nothing any more. Whatever happens in there, only other bytes in the file count as a change.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import structlog
import watchfiles

from pcs_gateway.clock import Clock

LOOK_EVERY_SECONDS = 1.0
"""How often certificates and keys are looked at."""

DEBOUNCE_MILLISECONDS = 150
"""How long the directory must have been quiet: an editor writes more than once."""

_log = structlog.get_logger()

Looks = tuple[int, ...]
"""What changes about a file when it is replaced; empty for one that is not there."""


class FileWatch:
    """Watches one file by its directory, and that of what it links to."""

    def __init__(self, path: Path) -> None:
        """Remember the file as it is now."""
        self._path = path
        self._seen = digest(path)

    def __repr__(self) -> str:
        return f"<FileWatch of {self._path}>"

    async def run(self, changed: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
        """
        Call `changed` whenever the file holds other bytes than last time, until `stop` is set.

        Where a directory cannot be watched this is logged; SIGHUP and the admin API still reload.
        """
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of every file in there
        directories = self.directories()
        changes = watchfiles.awatch(
            *directories,
            watch_filter=None,
            debounce=DEBOUNCE_MILLISECONDS,
            step=DEBOUNCE_MILLISECONDS // 3,
            stop_event=stop,
            recursive=False,
        )
        try:
            async for _ in changes:
                if self.has_changed():
                    await changed()
        except (OSError, RuntimeError) as error:
            _log.warning("configuration_not_watched", directories=directories, error=str(error))

    def directories(self) -> list[str]:
        """Return the directories in which a replacement of the file shows."""
        return sorted({str(self._path.parent), str(self._path.resolve().parent)})

    def has_changed(self) -> bool:
        """Return whether the file holds other bytes than when it was last looked at; not while it is away."""
        found = digest(self._path)
        if not found or found == self._seen:
            return False
        self._seen = found
        return True


class NamedFilesWatch:
    """
    Notices changes of the files that the configuration names: certificates, keys and authorities.

    It looks at them from time to time. They are replaced in many ways (by links to links, on volumes of a
    network), one after another, and a second does not matter: so what counts is how they look, and a change
    is told only when they have looked the same twice. It is a change against what was read, not against an
    earlier look: a file may be replaced between its reading and the first look at it.

    Args:
        read: Gives how the files looked when they were last read, as a new mapping after each reading.
    """

    def __init__(self, read: Callable[[], Mapping[str, Looks]], clock: Clock) -> None:
        self._read = read
        self._clock = clock

    async def run(self, changed: Callable[[], Awaitable[object]]) -> None:
        """Call `changed` when files look different and have settled; for ever."""
        read: Mapping[str, Looks] = {}
        told = before = read
        while True:
            await self._clock.sleep(LOOK_EVERY_SECONDS)
            latest = self._read()
            if latest is not read:
                told = read = latest
            now = await asyncio.to_thread(looks_of, read)
            if now == before and now != told:
                told = now  # where the reading fails before it comes to them, they are not told again
                await changed()
            before = now


def looks_of(paths: Iterable[str]) -> dict[str, Looks]:
    """Return how files look now."""
    looks: dict[str, Looks] = {}
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116 - symbolic links are followed
        except (OSError, ValueError):  # what is no path names nothing
            looks[path] = ()
        else:
            looks[path] = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return looks


def digest(path: Path) -> str:
    """Return a digest of the file's bytes; empty when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
