"""
Who may use the admin API: a pure judgement.

With a token, whoever knows it; the two endpoints for load balancers and orchestrators, which carry no secret,
stay open. Without one, only programs of this machine: a browser of this machine can be made to send requests
by any page it shows, so the Host must name loopback (a page whose name was rebound to 127.0.0.1 says its own
name there) and an Origin, where there is one, must be the admin API itself.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple
from urllib.parse import urlsplit

from pcs_gateway.control.config import is_loopback

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What is answered without the token."""


class Caller(NamedTuple):
    """
    What a request says of who sends it.

    Attributes:
        path: What is asked for.
        host: The Host field; empty when there is none.
        origin: The Origin field; empty when there is none.
        authorization: The Authorization field; empty when there is none.
    """

    path: str
    host: str
    origin: str
    authorization: str


class Refusal(NamedTuple):
    """Why a request is not carried out, and with which status."""

    status: int
    message: str


def refusal(caller: Caller, token: str, *, bound_to_loopback: bool) -> Refusal | None:
    """
    Judge a request; None when it may be carried out.

    Args:
        caller: Who asks.
        token: In force; empty when there is none.
        bound_to_loopback: The socket can be reached from this machine only.
    """
    if token:
        return None if caller.path in OPEN_PATHS else _refusal_without_token(caller, token)
    if not bound_to_loopback:
        return Refusal(403, "the admin API can be reached from other machines and has no token")
    if not _is_loopback_authority(caller.host):
        return Refusal(403, "without a token the Host must be a loopback name, such as localhost")
    if caller.origin and caller.origin.lower() != f"http://{caller.host}".lower():
        return Refusal(403, "without a token pages of other origins may not use the admin API")
    return None


def _refusal_without_token(caller: Caller, token: str) -> Refusal | None:
    scheme, _, given = caller.authorization.partition(" ")
    if not given:
        return Refusal(401, "the admin API needs a token: Authorization: Bearer …")
    # bytes that are no UTF-8 come as surrogates
    given_bytes = given.strip().encode("utf-8", "surrogateescape")
    is_right = hmac.compare_digest(given_bytes, token.encode("utf-8", "surrogateescape"))
    return None if is_right and scheme.lower() == "bearer" else Refusal(401, "the token is not the right one")


def _is_loopback_authority(authority: str) -> bool:
    """Whether a Host field names this machine's loopback."""
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return False
    return is_loopback(host) or host.endswith(".localhost")
