"""
The reference of all keys, written from the models: `docs/configuration.md` below its marker.

`python -m pcs_gateway.config.documentation` brings the file up to date; a test fails when it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from pcs_gateway.config.notices import WITHOUT_EFFECT
from pcs_gateway.config.schema import ROOT, Kind, allowed, dumped, kind_of, unwrapped
from pcs_gateway.section import Section

NO_EFFECT = " *Has no effect yet.*"

FILE = FilePath("docs/configuration.md")
MARKER = "<!-- Below this line: written by `python -m pcs_gateway.config.documentation`. -->\n"


def reference() -> str:
    """Return the tables of all sections, outer ones first."""
    return "\n".join(_tables("", ROOT))


def updated(text: str) -> str:
    """Return the file with everything below the marker written anew. Raises ValueError without a marker."""
    prose, marker, _ = text.partition(MARKER)
    if not marker:
        raise ValueError(f"{FILE}: the marker is missing")
    return prose + marker + "\n" + reference()


def _tables(path: str, kind: Kind) -> Iterator[str]:
    section = kind.section
    if section is None:
        return
    yield f"## `{path}`\n" if path else "## The file\n"
    yield f"{' '.join((section.__doc__ or '').split())}{NO_EFFECT if _is_without_effect(path) else ''}\n"
    yield "| key | meaning | default | allowed |\n|---|---|---|---|"
    for name, field in section.model_fields.items():
        yield _row(f"{path}.{name}" if path else name, name, field)
    yield ""
    for name, field in section.model_fields.items():
        yield from _nested(f"{path}.{name}" if path else name, kind_of(field))


def _nested(path: str, kind: Kind) -> Iterator[str]:
    arguments = get_args(kind.annotation)
    if get_origin(kind.annotation) is dict:
        yield from _nested(f"{path}.NAME", unwrapped(arguments[1]))
    elif get_origin(kind.annotation) is tuple:
        yield from _nested(f"{path}[]", unwrapped(arguments[0]))
    else:
        yield from _tables(path, kind)


def _row(path: str, name: str, field: FieldInfo) -> str:
    meaning = " ".join((field.description or "").split())
    meaning, _, derived = meaning.partition(" Default: ")
    note = NO_EFFECT if _pattern(path) in WITHOUT_EFFECT and "no effect" not in meaning else ""
    cells = [
        f"`{name}`",
        meaning + note,
        derived.rstrip(".") or _default(field),
        allowed(kind_of(field)).removesuffix(" (put it in quotes)"),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _is_without_effect(section: str) -> bool:
    """Return whether a section, or one that it stands in, has no effect yet."""
    parts = _pattern(section).split(".")
    return any(".".join(parts[:length]) in WITHOUT_EFFECT for length in range(1, len(parts) + 1))


def _pattern(path: str) -> str:
    return path.replace("NAME", "*").replace("[]", ".*")


def _default(field: FieldInfo) -> str:
    """Return the default as a file would write it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "absent"
    return "see below" if isinstance(value, Section) else f"`{_flow(dumped(value, kind_of(field)))}`"


def _flow(value: Any) -> str:
    """Return plain data as YAML in flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items() if one is not None) + "}"
    if isinstance(value, list):
        return f"[{', '.join(_flow(one) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


if __name__ == "__main__":
    FILE.write_text(updated(FILE.read_text("utf-8")), "utf-8")
