"""What a benchmark with requirements found, as JSON and as Markdown."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import machine
from benchmarks.results import DIRECTORY, Figure, rounded


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    Something that must hold, and what was seen.

    Attributes:
        text: What must hold.
        measured: What was seen, in words.
        holds: Whether it was so; None: it could not be measured, `measured` says why.
    """

    text: str
    measured: str
    holds: bool | None

    @property
    def word(self) -> str:
        """How it stands."""
        return {True: "met", False: "**missed**", None: "not measured"}[self.holds]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its heading; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return it as Markdown."""
        rule = "|---|" + "--:|" * (len(self.columns) - 1)
        body = ["| " + " | ".join(line) + " |" for line in (self.columns, *self.lines)]
        return "\n".join([f"## {self.title}", "", body[0], rule, *body[1:]])


@dataclass(slots=True)
class Report:
    """
    One run.

    Attributes:
        name: Of its files.
        title: Heading.
        about: What was done, for the reader of the tables.
        data: All figures, for machines.
        figures: The few that the whole comparison shows too.
    """

    name: str
    title: str
    about: str
    tables: list[Table] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def all_hold(self) -> bool:
        """Whether nothing was missed; what could not be measured does not count."""
        return all(one.holds is not False for one in self.requirements)

    def markdown(self, date: str, about_machine: str) -> str:
        """Return the whole page."""
        parts = [f"# {self.title}", f"{date}. {about_machine}", self.about]
        parts += [requirement_table(self.requirements)]
        parts += [table.markdown() for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def save(self, directory: Path = DIRECTORY) -> str:
        """Write NAME.json and NAME.md; return the page."""
        date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
        here, versions = machine.describe(), machine.versions()
        known = ", ".join(f"{name} {version}" for name, version in versions.items())
        page = self.markdown(
            date, f"{here['processor']}, {here['cores']} cores, {here['memory']}, {here['kernel']}. {known}."
        )
        found = {
            "date": date,
            "machine": here,
            "versions": versions,
            "requirements": msgspec.to_builtins(self.requirements),
            "figures": msgspec.to_builtins(self.figures),
            **self.data,
        }
        directory.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.format(msgspec.json.encode(rounded(found)), indent=1)
        (directory / f"{self.name}.json").write_bytes(encoded + b"\n")
        (directory / f"{self.name}.md").write_text(page)
        return page


def requirement_table(requirements: Sequence[Requirement]) -> str:
    """Return what must hold beside what was seen."""
    lines = ["| must hold | measured | |", "|---|---|---|"]
    lines += [f"| {one.text} | {one.measured} | {one.word} |" for one in requirements]
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    """Return a duration in milliseconds, three digits."""
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def share(ratio: float) -> str:
    """Return a ratio in per cent, as exact as it is small."""
    digits = 1 if ratio >= 0.1 else 2 if ratio >= 0.001 or ratio == 0 else 3
    return f"{ratio * 100:.{digits}f} %"
