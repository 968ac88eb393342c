"""
A configuration tried out on this machine: the files that it names, and the places where a gateway writes.

A directory that is not there would show only when lines are lost. `check` may be run by another user than the
gateway: what rights alone forbid is then a notice and no problem. Trying leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

from pcs_gateway.config.files import read_files, written_at
from pcs_gateway.config.loading import LoadedConfig
from pcs_gateway.config.references import Path, path_text
from pcs_gateway.errors import ConfigurationError, Problem

STANDARD_OUTPUT = "-"

RIGHTS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What the system says to one user, or in one container, and perhaps not to another."""


def try_out(loaded: LoadedConfig, now: float, *, is_gateway: bool) -> list[str]:
    """
    Try out what a configuration names.

    Args:
        now: Unix seconds.
        is_gateway: Whether it is this user who will run the gateway.

    Returns:
        One line for each thing that an operator should know, those of loading included.

    Raises:
        ConfigurationError: It cannot be used here; all problems are in it.
    """
    problems: list[Problem] = []
    notices = list(loaded.notices)
    try:
        notices += read_files(loaded, now).notices
    except ConfigurationError as error:
        problems += error.problems
    for path, refused in _unwritable(loaded):
        found = f'"{written_at(loaded, path)}"'
        message = f"cannot be written to: {refused.strerror}"
        problem = Problem(str(loaded.path), loaded.lines.get(path, 0), path_text(path), found, "", message)
        if refused.errno in RIGHTS and not is_gateway:
            notices.append(f"{problem}, by the user who runs this check")
        else:
            problems.append(problem)
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda one: one.line))
    return notices


def _unwritable(loaded: LoadedConfig) -> Iterator[tuple[Path, OSError]]:
    """Yield the places that cannot be written to, with what the system says."""
    access, state = loaded.config.logging.access, loaded.config.state
    if access.enabled and access.file != STANDARD_OUTPUT and (refused := _refused(_append, access.file)):
        yield ("logging", "access", "file"), refused
    if refused := _refused(_make, state.directory):
        yield ("state", "directory"), refused


def _refused(attempt: Callable[[FilePath], None], place: str) -> OSError | None:
    if "\0" in place:
        return OSError(errno.EINVAL, "not a file name")
    try:
        attempt(FilePath(place).absolute())
    except OSError as error:
        return error
    return None


def _append(file: FilePath) -> None:
    """Find out whether a file can be appended to, or made. Raises OSError."""
    if file.is_dir():
        raise _error(errno.EISDIR)
    if not file.exists():
        _write_in(file.parent)
    elif not os.access(file, os.W_OK):
        raise _error(errno.EACCES)


def _make(directory: FilePath) -> None:
    """Find out whether a directory is there to be written to, or can be made. Raises OSError."""
    _write_in(next(one for one in (directory, *directory.parents) if one.exists()))


def _write_in(directory: FilePath) -> None:
    with tempfile.TemporaryFile(dir=directory):
        pass


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
