"""
The rows of the sample service, in one SQLite table: in memory, or in a file that several instances share.

PCS keeps them in PostgreSQL; two of its habits are kept. A list has no order of its own, and a row that was
updated moves to the end of it, so pages are not stable. A write is seen by every instance as soon as it is
committed. One is not: PCS loses updates under concurrent writes, here a transaction is exclusive, so that a
test may count on `usage_count` and `sequence_number`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

Row = dict[str, Any]
"""One stored object, as it is answered; it has an `id`."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    position INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    parent TEXT,
    name TEXT,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS rows_by_id ON rows (kind, id);
CREATE UNIQUE INDEX IF NOT EXISTS rows_by_name ON rows (kind, name) WHERE name IS NOT NULL;
CREATE INDEX IF NOT EXISTS rows_by_parent ON rows (kind, parent, position);
"""

BUSY_TIMEOUT = 10.0
"""Seconds that a write waits for another instance's write; it blocks the instance, as a lock in PCS does."""


class DuplicateNameError(Exception):
    """A row of that kind with that name is there already."""


class Store:
    """
    The rows of one database.

    Args:
        path: A file's path, or ":memory:" for rows that only this instance sees and that end with it.
    """

    def __init__(self, path: str = ":memory:") -> None:
        self.path = path
        self._database = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        if path != ":memory:":
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=OFF")
        with self.transaction():
            for statement in filter(str.strip, SCHEMA.split(";")):
                self._database.execute(statement)

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is one change, and no other instance writes meanwhile."""
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def ping(self) -> None:
        self._database.execute("SELECT 1")

    def find(self, kind: str, row_id: str) -> Row | None:
        found = self._database.execute("SELECT body FROM rows WHERE kind = ? AND id = ?", (kind, row_id))
        body = found.fetchone()
        return None if body is None else msgspec.json.decode(body[0])

    def select(self, kind: str, parent: str | None = None) -> list[Row]:
        """Give every row of a kind, or of one parent."""
        if parent is None:
            found = self._database.execute("SELECT body FROM rows WHERE kind = ? ORDER BY position", (kind,))
        else:
            found = self._database.execute(
                "SELECT body FROM rows WHERE kind = ? AND parent = ? ORDER BY position", (kind, parent)
            )
        return [msgspec.json.decode(body) for (body,) in found]

    def page(self, kind: str, offset: int, limit: int) -> list[Row]:
        found = self._database.execute(
            "SELECT body FROM rows WHERE kind = ? ORDER BY position LIMIT ? OFFSET ?", (kind, limit, offset)
        )
        return [msgspec.json.decode(body) for (body,) in found]

    def count(self, kind: str) -> int:
        total: int
        (total,) = self._database.execute("SELECT count(*) FROM rows WHERE kind = ?", (kind,)).fetchone()
        return total

    def insert(self, kind: str, row: Row, *, parent: str | None = None, name: str | None = None) -> None:
        """Add a row.

        Raises:
            DuplicateNameError: `name` is taken.
        """
        with self._unique_names():
            self._database.execute(
                "INSERT INTO rows (kind, id, parent, name, body) VALUES (?, ?, ?, ?, ?)",
                (kind, row["id"], parent, name, msgspec.json.encode(row)),
            )

    def replace(self, kind: str, row: Row, *, name: str | None = None) -> None:
        """Write a changed row, which thereby moves to the end.

        Raises:
            DuplicateNameError: `name` is taken by another row.
        """
        with self._unique_names():
            self._database.execute(
                "UPDATE rows SET body = ?, name = coalesce(?, name),"
                " position = (SELECT max(position) + 1 FROM rows) WHERE kind = ? AND id = ?",
                (msgspec.json.encode(row), name, kind, row["id"]),
            )

    def remove(self, kind: str, row_id: str) -> bool:
        """Delete a row and what belongs to it; say whether it was there."""
        with self.transaction():
            self._database.execute("DELETE FROM rows WHERE parent = ?", (row_id,))
            deleted = self._database.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, row_id))
        return deleted.rowcount == 1

    @contextmanager
    def _unique_names(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise DuplicateNameError(str(error)) from error
