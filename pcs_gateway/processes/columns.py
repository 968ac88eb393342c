"""
Which backend has which column of the scoreboard: pure decisions of the control process.

A backend, known by its pool and URL, keeps its column for as long as it is configured. When it is removed
its column is retired, because exchanges in flight still count in it. The law of this file: a retired column
is given to another backend only when

- every row of the scoreboard reads zero in it, and
- every worker has acknowledged a snapshot without the backend, so that none can begin to count in it again;

and then with a new generation, so that a late writer can be told from the new owner. A backend that returns
before that gets its old column back, with what still counts in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from pcs_gateway.errors import GatewayError
from pcs_gateway.processes.scoreboard import COLUMNS


class ColumnsExhaustedError(GatewayError):
    """More backends than columns, those that still drain included."""


class Column(msgspec.Struct, frozen=True):
    """
    One column, on loan to one backend.

    Attributes:
        index: In the arrays of each row.
        generation: How many owners the column has had, this one included.
        retired: The first version of a snapshot without the owner; 0 while it is configured.
    """

    pool: str
    url: str
    index: int
    generation: int
    retired: int = 0


class Columns(msgspec.Struct, frozen=True):
    """
    The allotment at one moment; a value that is stored and read again by the next control process.

    Attributes:
        columns: Those that have an owner, retired ones included.
        generations: How many owners a column has had so far, by index; columns never used are left out.
        size: How many columns there are.
    """

    columns: tuple[Column, ...] = ()
    generations: dict[int, int] = {}
    size: int = COLUMNS

    def __repr__(self) -> str:
        retired = sum(1 for column in self.columns if column.retired)
        return f"<Columns: {len(self.columns)} of {self.size} in use, {retired} of them retired>"

    def column(self, pool: str, url: str) -> Column:
        """
        Find the column of a backend.

        Raises:
            KeyError: The backend has none.
        """
        for column in self.columns:
            if (column.pool, column.url) == (pool, url):
                return column
        raise KeyError((pool, url))

    @property
    def width(self) -> int:
        """One more than the greatest index in use: how much of an array is worth reading."""
        return max((column.index for column in self.columns), default=-1) + 1

    def allot(self, backends: Iterable[tuple[str, str]], version: int) -> Self:
        """
        Give each backend (pool, URL) its column, and retire those of backends that are no longer there.

        Args:
            backends: All that the snapshot to come holds.
            version: Of that snapshot.

        Raises:
            ColumnsExhaustedError: There are not enough free columns; nothing is changed.
        """
        wanted = dict.fromkeys(backends)
        owned = {(column.pool, column.url): column for column in self.columns}
        kept = [_retire_or_keep(column, key in wanted, version) for key, column in owned.items()]
        newcomers = [key for key in wanted if key not in owned]
        taken = {column.index for column in kept}
        free = [index for index in range(self.size) if index not in taken]
        if len(free) < len(newcomers):
            raise ColumnsExhaustedError(
                f"{len(wanted)} backends are configured and {len(kept) + len(newcomers) - len(wanted)} more "
                f"still drain, but at most {self.size} can be counted: remove some, or wait"
            )
        generations = dict(self.generations)
        for (pool, url), index in zip(newcomers, free, strict=False):
            generations[index] = generations.get(index, 0) + 1
            kept.append(Column(pool, url, index, generations[index]))
        return type(self)(tuple(kept), generations, self.size)

    def reclaim(self, is_zero: Callable[[int], bool], acknowledged: int) -> Self:
        """
        Free the retired columns that nobody can count in any more.

        Args:
            is_zero: Whether every row reads zero in a column: `Scoreboard.column_is_zero`.
            acknowledged: The version that every worker has acknowledged: `ChannelServer.acknowledged_by_all`.
        """
        kept = tuple(
            column
            for column in self.columns
            if not column.retired or column.retired > acknowledged or not is_zero(column.index)
        )
        return self if len(kept) == len(self.columns) else type(self)(kept, self.generations, self.size)


def _retire_or_keep(column: Column, wanted: bool, version: int) -> Column:  # noqa: FBT001 (private, by position)
    if wanted:
        return msgspec.structs.replace(column, retired=0)
    return msgspec.structs.replace(column, retired=column.retired or version)
