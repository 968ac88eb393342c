"""What a route changes: the path on the way in, `Location` on the way out, fields both ways. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pcs_gateway.http.targets import Target

Params = Mapping[str, bytes]
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:\.\.\.)?\}")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)(#.*)?", re.DOTALL)


class FieldEdits:
    """
    Fields to set and to remove in a head; setting replaces all fields of that name.

    Attributes:
        names: Of all of them, in one spelling (`plain_name`).
    """

    __slots__ = ("_lines", "names")

    def __init__(self, set_fields: Mapping[str, str], removed: Sequence[str]) -> None:
        self._lines = b"".join(
            b"%b: %b\r\n" % (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in set_fields.items()
        )
        self.names = frozenset(plain_name(name.encode("latin-1")) for name in (*set_fields, *removed))

    def __bool__(self) -> bool:
        return bool(self.names)

    def apply(self, section: bytes) -> bytes:
        """Give a field section (lines ending with CR LF) with the edits made."""
        lines = section.split(b"\r\n")[:-1]
        kept = [line + b"\r\n" for line in lines if plain_name(line) not in self.names]
        return b"".join(kept) + self._lines


def plain_name(line: bytes) -> bytes:
    """Give the name of a field in one spelling; CGI and WSGI read X_User as X-User, so both are meant."""
    return line.partition(b":")[0].lower().replace(b"_", b"-")


class PathRewrite:
    """
    How a route turns the client's path into the backend's.

    Args:
        strip_prefix: Taken from the front of the path where it ends at a segment's end.
        add_prefix: Put in front after that.
        rewrite: A template that replaces the whole path, with the route's parameters in it.
        trailing_slash: `keep`, `add` or `remove`.
    """

    __slots__ = ("_add", "_render", "_slash", "_strip")

    def __init__(self, strip_prefix: str, add_prefix: str, rewrite: str, trailing_slash: str) -> None:
        self._strip = strip_prefix.rstrip("/").encode("latin-1")
        self._add = add_prefix.rstrip("/").encode("latin-1")
        self._render = compile_template(rewrite) if rewrite else None
        self._slash = trailing_slash

    def __bool__(self) -> bool:
        return bool(self._strip or self._add or self._render or self._slash != "keep")

    def forward(self, target: Target, params: Params) -> bytes:
        """Give the target to send to the backend."""
        path = target.path
        if path == b"*":
            return path
        if self._render is not None:
            path = self._render(params)
        elif self._strip and (path == self._strip or path.startswith(self._strip + b"/")):
            # one slash: two would begin an authority, and the path would be another server's name
            path = b"/" + path[len(self._strip) :].lstrip(b"/")
        path = self._add + path
        if self._slash == "add" and not path.endswith(b"/"):
            path += b"/"
        elif self._slash == "remove" and len(path) > 1:
            path = path.rstrip(b"/") or b"/"
        return path + target.query

    def reverse(self, path: bytes) -> bytes:
        """Give a path of the backend's as the client would ask for it, where that can be told."""
        if self._render is not None:
            return path
        if self._add:
            rest = path[len(self._add) :]
            if not path.startswith(self._add) or rest[:1] not in (b"", b"/", b"?", b"#"):
                return path
            path = rest if rest.startswith(b"/") else b"/" + rest
        return self._strip + path


def compile_template(template: str) -> Callable[[Params], bytes]:
    """Turn `/a/{name}/{rest...}` into a function from parameters to bytes."""
    literals: list[bytes] = []
    names: list[str] = []
    at = 0
    for match in _PLACEHOLDER.finditer(template):
        literals.append(template[at : match.start()].encode("latin-1"))
        names.append(match[1])
        at = match.end()
    tail = template[at:].encode("latin-1")

    def render(params: Params) -> bytes:
        pieces = [
            piece
            for literal, name in zip(literals, names, strict=True)
            for piece in (literal, params.get(name, b""))
        ]
        return b"".join(pieces) + tail

    return render


def client_location(
    location: bytes, sent_host: bytes, backend_host: bytes, client_origin: bytes, rewrite: PathRewrite
) -> bytes:
    """
    Give a redirect's `Location` in the client's view.

    Args:
        sent_host: The Host that the backend was sent.
        backend_host: `host:port` of the backend.
        client_origin: `scheme://host` as the client spoke to the gateway.
    """
    match = _ABSOLUTE.fullmatch(location)
    if match is None:
        return (
            rewrite.reverse(location)
            if location.startswith(b"/") and not location.startswith(b"//")
            else location
        )
    authority, path, fragment = match[1], match[2] or b"/", match[3] or b""
    if authority.lower() == client_origin.partition(b"://")[2].lower():
        # it is in the client's view already; only the path may differ
        return location[: match.end(1)] + rewrite.reverse(match[2]) + fragment if match[2] else location
    if authority.lower() not in (sent_host.lower(), backend_host.lower()):
        return location
    return client_origin + rewrite.reverse(path) + fragment
