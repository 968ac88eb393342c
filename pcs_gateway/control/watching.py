"""
Noticing that the configuration file was changed.

Its directory is watched, not the file: an editor and a ConfigMap replace the file, and a watch on the old one
would see nothing any more. Whatever happens in there, only other bytes in the file count as a change.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import watchfiles

DEBOUNCE_MILLISECONDS = 150
"""How long the directory must have been quiet: an editor writes more than once."""

_log = structlog.get_logger()


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


def digest(path: Path) -> str:
    """Return a digest of the file's bytes; empty when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
