"""Names in certificates: which certificate a server name gets, and how a subject is written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

SERVER_NAME = re.compile(
    r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+", re.ASCII
)
SERVER_NAME_ALLOWED = "a host name, or an IP address without brackets"

Subject = Sequence[Sequence[tuple[str, str]]]
"""A distinguished name as `ssl` gives it: relative names, the most general one first."""

_SHORT_NAMES: Mapping[str, str] = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 section 3; other types keep the name that OpenSSL gives them."""

_ALWAYS_ESCAPED = frozenset('"+,;<>\\')


class NameTable(Generic[T]):
    """
    Finds what belongs to a server name: by the name itself, then by a wildcard for its first label.

    Args:
        entries: Names, some of them `*.name`, each with what it stands for; the first of equal ones counts.
        default: For all other names.
    """

    __slots__ = ("_default", "_exact", "_wildcards")

    def __init__(self, entries: Iterable[tuple[str, T]], default: T) -> None:
        self._default = default
        self._exact: dict[str, T] = {}
        self._wildcards: dict[str, T] = {}
        for name, value in entries:
            lowered = name.lower().rstrip(".")
            if lowered.startswith("*."):
                self._wildcards.setdefault(lowered[2:], value)
            else:
                self._exact.setdefault(lowered, value)

    def find(self, name: str | None) -> T:
        """Return what belongs to a name; None is no name."""
        if not name:
            return self._default
        lowered = name.lower().rstrip(".")
        found = self._exact.get(lowered)
        if found is None:
            # RFC 6125 section 6.4.3: a wildcard stands for exactly one label
            found = self._wildcards.get(lowered.partition(".")[2])
        return self._default if found is None else found


def written_subject(subject: Subject) -> str:
    """
    Write a distinguished name as RFC 4514 does, the most specific part first, in ASCII.

    Whatever could end a header field or be read as another part of the name is escaped.
    """
    parts = [
        "+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in relative)
        for relative in reversed(subject)
    ]
    return ",".join(parts)


def _escaped(value: str) -> str:
    last = len(value) - 1
    return "".join(
        _escape(character, is_edge=index in {0, last}, is_first=index == 0)
        for index, character in enumerate(value)
    )


def _escape(character: str, *, is_edge: bool, is_first: bool) -> str:
    if character in _ALWAYS_ESCAPED or (character == " " and is_edge) or (character == "#" and is_first):
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
