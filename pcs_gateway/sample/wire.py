"""
How an answer leaves: PCS's header fields and the peculiarities of its middleware and its server.

Each function takes the request's fields and gives header fields or bytes; nothing here touches a connection.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from multidict import CIMultiDict

from pcs_gateway.sample.call import Answer

Fields = CIMultiDict[str]

INSTANCE_FIELD = "x-pcs-instance"

SECURITY_FIELDS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-xss-protection": "1; mode=block",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
}

PREFLIGHT_FIELDS = {
    "vary": "Origin",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
    "access-control-max-age": "600",
    "access-control-allow-credentials": "true",
}


def encode_body(answer: Answer) -> bytes:
    """Give the body's bytes; none is empty."""
    return b"" if answer.body is None else msgspec.json.encode(answer.body)


def usual_fields(instance: str, seconds: float) -> Fields:
    """Give the fields of every answer that went through PCS's middleware."""
    fields = Fields({"server": "uvicorn", "content-type": "application/json"})
    fields.update(SECURITY_FIELDS)
    fields["x-process-time"] = str(seconds)
    fields[INSTANCE_FIELD] = instance
    return fields


def bare_fields(instance: str, content_type: str) -> Fields:
    """Give the fields of an answer that the middleware never saw."""
    return Fields({"server": "uvicorn", "content-type": content_type, INSTANCE_FIELD: instance})


def accepts_gzip(fields: Mapping[str, str]) -> bool:
    """Say whether the answer is compressed: by the mere word, as PCS's middleware looks for it."""
    return "gzip" in fields.get("Accept-Encoding", "")


def compress(body: bytes) -> bytes:
    """Give the body as gzip. PCS does so at any size: its minimum of 1,000 bytes does not work."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return compressor.compress(body) + compressor.flush()


def cross_origin_fields(origin: str | None, allowed: tuple[str, ...]) -> dict[str, str]:
    """Give the CORS fields; a foreign origin, or none, gets none, not even Vary."""
    if origin is None or origin not in allowed:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "vary": "Origin",
    }


def location(scheme: str, authority: str, target: str) -> str:
    """Give where a wrong slash leads, with whatever Host the client sent."""
    path, mark, query = target.partition("?")
    path = path[:-1] if path.endswith("/") else f"{path}/"
    return f"{scheme}://{authority}{path}{mark}{query}"


def is_trusted_host(host: str, trusted: str) -> bool:
    """Say whether PCS in production serves this Host: compared with case, whatever the port."""
    return trusted == "*" or host.partition(":")[0] in {"localhost", "127.0.0.1", trusted}


def unhandled_body(error: BaseException) -> dict[str, Any]:
    """Give what the last handler says of an error nobody foresaw."""
    return {
        "error": "InternalServerError",
        "message": "An unexpected error occurred",
        "details": {"type": type(error).__name__},
    }
