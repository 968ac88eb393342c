"""
Request targets (RFC 9112 section 3.2) and the one normal form of a path (RFC 3986 section 6.2.2).

Routes and cache keys match the normal form; what is forwarded stays the original bytes. A path whose
dot segments, backslashes or empty segments another parser would resolve to other segments is named
ambiguous, and refused unless its route allows it. So is one that has another route for a parser that
decodes escaped delimiters or cuts path parameters, which many backends do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pcs_gateway.http.fields import is_valid_host
from pcs_gateway.http.refusals import Refusal, RequestRefused

COMMON_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""What `Allow` says where any method is passed on but those that are never (RFC 9110 section 10.2.1)."""

_NEVER_FORWARDED = {b"CONNECT": Refusal.CONNECT_REFUSED, b"TRACE": Refusal.TRACE_REFUSED}
_NEEDS_CARE = re.compile(rb"%|//|\\|/\.|;")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DOT_SEGMENT = re.compile(rb"/\.\.?(?:/|\Z)")
_ESCAPED_IN_SEGMENTS = tuple((b"%%%02X" % octet, bytes((octet,))) for octet in b"/!$&'()*+,;=:@")
_MAY_BE_READ_OTHERWISE = re.compile(
    b"|".join([b";", *(re.escape(escaped) for escaped, _ in _ESCAPED_IN_SEGMENTS)])
)
_PATH_PARAMETERS = re.compile(rb";[^/]*")
_SLASHES = re.compile(rb"//+")
_ABSOLUTE = re.compile(rb"(?i:(https?))://([^/?#@]*)(/[^?#]*)?(\?[^#]*)?")


NO_PATHS: frozenset[bytes] = frozenset()


class Target:
    """
    A request target taken apart.

    Attributes:
        path: In normal form; `*` for the asterisk form.
        query: With its `?`; empty when there is none.
        origin_form: The bytes to forward: path as received and query.
        authority: From the absolute form, which overrides Host (RFC 9112 section 3.2.2); else empty.
        is_ambiguous: Others could read other segments in this path.
        other_paths: What else this path is for some, which matters where that is another route's.
    """

    __slots__ = ("authority", "is_ambiguous", "origin_form", "other_paths", "path", "query")

    def __init__(
        self,
        path: bytes,
        query: bytes,
        origin_form: bytes,
        authority: bytes,
        *,
        is_ambiguous: bool,
        other_paths: frozenset[bytes] = NO_PATHS,
    ) -> None:
        self.path = path
        self.query = query
        self.origin_form = origin_form
        self.authority = authority
        self.is_ambiguous = is_ambiguous
        self.other_paths = other_paths


def read_target(method: bytes, target: bytes) -> Target:
    """
    Take a request target apart.

    TRACE is never forwarded: its answer would show the client whatever was added behind it, and a script in a
    browser the cookies it must not see (RFC 9110 section 9.3.8). A server need not offer it (section 9.1).

    Raises:
        RequestRefused: It has none of the forms that this method allows, or a malformed escape.
    """
    if method in _NEVER_FORWARDED:
        raise RequestRefused(_NEVER_FORWARDED[method], COMMON_METHODS)
    if target[0] == 0x2F:
        return _read_origin_form(target, b"")
    if target == b"*" and method == b"OPTIONS":
        return Target(b"*", b"", b"*", b"", is_ambiguous=False)
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not is_valid_host(match[2]):
        raise RequestRefused(Refusal.FRAGMENT_IN_TARGET if b"#" in target else Refusal.MALFORMED_TARGET)
    path, query = match[3], match[4] or b""
    if path is None and method == b"OPTIONS" and not query:
        # RFC 9110 section 7.1: an absolute form without path is "*" when forwarded as OPTIONS
        return Target(b"*", b"", b"*", match[2], is_ambiguous=False)
    return _read_origin_form((path or b"/") + query, match[2])


def _read_origin_form(target: bytes, authority: bytes) -> Target:
    path, mark, query = target.partition(b"?")
    if _NEEDS_CARE.search(path) is None:
        return Target(path, mark + query, target, authority, is_ambiguous=False)
    normal = normalise_path(path)
    others = other_paths(normal) if _MAY_BE_READ_OTHERWISE.search(normal) else NO_PATHS
    return Target(
        normal,
        mark + query,
        target,
        authority,
        is_ambiguous=is_ambiguous(normal, others),
        other_paths=others,
    )


def normalise_path(path: bytes) -> bytes:
    """
    Decode escaped unreserved octets and upper-case the other escapes; `%2F` stays what it is.

    Raises:
        RequestRefused: An escape is not two hexadecimal digits, or stands for NUL.
    """
    return _ESCAPE.sub(_normal_escape, path)


def _normal_escape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None or digits == b"00":
        raise RequestRefused(Refusal.MALFORMED_TARGET)
    octet = int(digits, 16)
    return bytes((octet,)) if octet in _UNRESERVED else b"%" + digits.upper()


def is_ambiguous(path: bytes, others: Iterable[bytes]) -> bool:
    """Tell whether a path has dot segments, be it only as others read it, backslashes or empty segments."""
    if b"//" in path or b"\\" in path or b"%5C" in path:
        return True
    return any(_DOT_SEGMENT.search(reading) for reading in (path, *others))


def other_paths(path: bytes) -> frozenset[bytes]:
    """
    Give what others make of a path in normal form, other than the path itself.

    Some decode the delimiters of its segments before they look at it (WSGI, ASGI), some cut off parameters
    (`;…` of a segment, as servlets do), before that or after it, and some then join slashes to one.
    """
    readings = {path}
    for read in (_decode_delimiters, _cut_parameters, _decode_delimiters, _join_slashes):
        readings |= {read(reading) for reading in readings}
    return frozenset(readings - {path})


def _decode_delimiters(path: bytes) -> bytes:
    for escaped, octet in _ESCAPED_IN_SEGMENTS:
        path = path.replace(escaped, octet)
    return path


def _cut_parameters(path: bytes) -> bytes:
    return _PATH_PARAMETERS.sub(b"", path)


def _join_slashes(path: bytes) -> bytes:
    return _SLASHES.sub(b"/", path)
