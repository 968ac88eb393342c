"""
Which request fields the gateway has to look at, by name, however a client spells it.

A kind is a plain integer, since it is asked for every field of every request that is not known yet.
"""

from __future__ import annotations

from pcs_gateway.http.fields import HOP_BY_HOP, NEVER_NAMED_BY_CONNECTION, SINGLE

KNOWN_SPELLINGS = 4096
LONGEST_SPELLING = 64

HOP_BY_HOP_KIND = 1
HOST = 2
CONNECTION = 3
CONTENT_LENGTH = 4
TRANSFER_ENCODING = 5
UPGRADE = 6
REQUEST_ID = 7
TRACE = 8
FORWARDING = 9
EXPECT = 10
MAX_FORWARDS = 11
FIRST_SINGLE = 32  # and so on, one for each name of SINGLE and of rate limits: told apart without a call

USUAL_KINDS = frozenset((HOP_BY_HOP_KIND, CONNECTION, REQUEST_ID, TRACE, FORWARDING))

IDENTITY_KINDS = frozenset((REQUEST_ID, TRACE))

_SINGLE_KINDS = {name: kind for kind, name in enumerate(SINGLE, FIRST_SINGLE)}

STAYING_KINDS = frozenset((HOST, EXPECT, MAX_FORWARDS))
"""Beside the single ones."""

_KINDS: dict[bytes, int] = {
    **_SINGLE_KINDS,
    **dict.fromkeys(HOP_BY_HOP, HOP_BY_HOP_KIND),
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"traceparent": TRACE,
    b"x-forwarded-for": FORWARDING,
    b"x-forwarded-proto": FORWARDING,
    b"x-forwarded-host": FORWARDING,
    b"x-forwarded-port": FORWARDING,
    b"x-forwarded-prefix": FORWARDING,
    b"x-real-ip": FORWARDING,
    b"forwarded": FORWARDING,
    b"via": FORWARDING,
    b"expect": EXPECT,
    b"max-forwards": MAX_FORWARDS,
}


_MEANT = frozenset((*_KINDS, *NEVER_NAMED_BY_CONNECTION, b"trailer"))


def has_meaning(name: bytes) -> bool:
    """Tell whether a field of this name, or of the one it is a double of, has a meaning to all or to us."""
    return _dashed(name) in _MEANT


def may_tell_clients_apart(name: bytes) -> bool:
    """Tell whether it can be asked that a request has one field of this name: nobody reads it otherwise."""
    kind = _KINDS.get(name.lower(), HOST)
    return (kind == HOST or kind >= FIRST_SINGLE) and b"_" not in name


def is_double(one: bytes, other: bytes) -> bool:
    """Tell whether two names are the same, or are to a backend that reads `_` as `-`, as CGI and WSGI do."""
    return _dashed(one) == _dashed(other)


def _dashed(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


class Spellings(dict[bytes, int]):
    """
    Field names as clients spell them, each with its kind (0: of no interest), bounded.

    Attributes:
        own_names: Lower-cased names of further fields that only the gateway may set: dropped like those of
            the connection.

    Args:
        single_names: Lower-cased names of fields by which clients are told apart: whoever could send them
            twice, or under a name that some backends read as the same, would be somebody else to us.
    """

    __slots__ = ("_kinds", "_request_id_name", "own_names")

    def __init__(
        self,
        request_id_name: bytes,
        own_names: frozenset[bytes] = frozenset(),
        single_names: frozenset[bytes] = frozenset(),
    ) -> None:
        super().__init__()
        self._request_id_name = request_id_name.lower()
        self.own_names = own_names
        singles = enumerate(sorted(single_names), FIRST_SINGLE + len(SINGLE))
        self._kinds = {
            **{name: kind for kind, name in singles},
            **_KINDS,
            **dict.fromkeys(own_names, HOP_BY_HOP_KIND),
        }

    def __missing__(self, name: bytes) -> int:
        lowered = name.lower()
        kind = self._kind(lowered)
        if not kind and b"_" in lowered and self._kind(lowered.replace(b"_", b"-")):
            # CGI and WSGI read X_Forwarded_For as X-Forwarded-For: a double of what counts here is dropped
            kind = HOP_BY_HOP_KIND
        if len(self) < KNOWN_SPELLINGS and len(name) <= LONGEST_SPELLING:
            self[name] = kind
        return kind

    def _kind(self, name: bytes) -> int:
        return REQUEST_ID if name == self._request_id_name else self._kinds.get(name, 0)
