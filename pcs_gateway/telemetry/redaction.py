"""
What must not be shown in a log: the values of whatever is named like a secret.

Names are judged, values are never looked at: a secret in a path segment, or under a name that says nothing,
cannot be told from other text. The access log holds no header fields at all.
"""

from __future__ import annotations

import math
import re
from typing import Final
from urllib.parse import unquote_plus

import msgspec

MASK: Final = "***"

MAXIMUM_TARGET: Final = 2048
"""Bytes of a target in JSON; longer ones are cut, so that a line of the access log has a bounded length."""
ALWAYS_SHORT: Final = 120
"""Targets with fewer characters are never cut: in JSON no character takes more than six bytes."""
_LONGEST_ESCAPE: Final = 6

_SECRET_NAME = re.compile(
    r"""
      token(?!s|i[sz])                  # access_token, csrfToken; not max_tokens, tokenizer
    | secret | passw | passphrase | pwd | credential | signature | session | jwt | cookie
    | authori[sz]ation | authenticat | oauth
    | key(?![a-z])                      # api_key, apikey, X-API-Key; not keyword
    | (?<![a-z]) (?: auth | sig | code | otp | pin | pass | sid ) (?![a-z])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PAIR = re.compile(r"[^&;]+")
_CREDENTIALS = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")


def is_secret_name(name: str) -> bool:
    """Return whether a parameter, field or key of this name is taken to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def shown_target(target: str, most_bytes: int = MAXIMUM_TARGET) -> str:
    """
    Return a request target as a log may show it.

    It is shown as received, but for the values of query parameters with secret names, and for a user name and
    password before the host of an absolute target. Beyond `most_bytes` of JSON it is cut.
    """
    if "@" in target:
        target = _CREDENTIALS.sub(rf"\1{MASK}@", target)
    path, mark, query = target.partition("?")
    if mark and ("%" in query or is_secret_name(query)):
        target = f"{path}?{_PAIR.sub(_mask_pair, query)}"
    return _cut(target, most_bytes) if len(target) * _LONGEST_ESCAPE > most_bytes else target


def _cut(target: str, most_bytes: int) -> str:
    shown = target[:most_bytes]
    while (excess := len(msgspec.json.encode(shown)) - len('""') - most_bytes) > 0:
        shown = shown[: -math.ceil(excess / _LONGEST_ESCAPE)]
    return target if len(shown) == len(target) else f"{shown}…"


def _mask_pair(pair: re.Match[str]) -> str:
    name, equals, _ = pair.group().partition("=")
    if equals and is_secret_name(unquote_plus(name)):
        return f"{name}={MASK}"
    return pair.group()
