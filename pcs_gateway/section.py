"""
What every section of the configuration is made of: a frozen model and a few strict scalars.

The law of this file and of all sections: a validator that refuses raises `ValueError` with a text
that completes the sentence "allowed: …"; it never repeats the value, which may be a secret. The
loader adds file, line, path and what was found.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


class Section(BaseModel):
    """
    A section: immutable, closed to unknown keys, each field with its unit, default and meaning.

    A section left empty in the file ("limits:" and nothing below) is one with all its defaults.

    Attributes:
        EXAMPLE: The shortest one that means something, where people write something else than a mapping.
    """

    EXAMPLE: ClassVar[str] = ""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        return {} if value is None else value


class FromEnvironment(str):
    """
    Text that holds the value of an environment variable.

    It has no type of its own: `workers: ${WORKERS}` is a number because `workers` is one.
    """

    __slots__ = ()


class Mark:
    """How a field is masked where the effective configuration is shown."""

    def __init__(self, name: str) -> None:
        """Name the mark."""
        self.name = name

    def __repr__(self) -> str:
        """Return the name."""
        return f"Mark({self.name})"


SECRET = Mark("secret")
"""The whole value is a secret."""
CREDENTIALS = Mark("credentials")
"""A URL whose user name and password are secret."""
PRIVATE_URL = Mark("private URL")
"""A URL whose path and query are secret too, as those of hooks are."""

NAME_ALLOWED = "a name of up to 64 letters, digits and . _ -, beginning with a letter or digit"
FIELD_NAME_ALLOWED = "the name of a header field, such as X-Request-ID"
FIELD_VALUE_ALLOWED = "the value of a header field: text without control characters"
METHOD_ALLOWED = "a method in capitals, such as GET"
NETWORK_ALLOWED = "an IP address or network, such as 10.0.0.0/8"
URL_PATH_ALLOWED = "a path that begins with /"
ADDRESS_ALLOWED = "host:port, such as 0.0.0.0:8080 or [::]:8080"

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME = re.compile(NAME_PATTERN, re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_URL_PATH = re.compile(r"/[\x21-\x22\x24-\x7e]*", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_ADDRESS = re.compile(
    r"(?:(?P<v4>[A-Za-z0-9.-]{1,255})|\[(?P<v6>[0-9A-Fa-f:.]+)\]):(?P<port>\d{1,5})", re.ASCII
)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text (put it in quotes)")  # noqa: TRY004 - pydantic passes TypeError on
    return str(value)


def _integer(value: Any) -> int:
    if isinstance(value, FromEnvironment) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number")  # noqa: TRY004 - pydantic passes TypeError on
    return value


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float | FromEnvironment) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("a number")
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, FromEnvironment) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004 - pydantic passes TypeError on
    return value


def _network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(str(value), strict=False))
    except ValueError:
        raise ValueError(NETWORK_ALLOWED) from None


def matching(pattern: re.Pattern[str], allowed: str) -> BeforeValidator:
    """Return a validator for text that `pattern` matches as a whole; `allowed` says so in words."""

    def validate(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(allowed)
        return str(value)

    return BeforeValidator(validate)


def _method(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if not _TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(METHOD_ALLOWED)
    return str(text)


Text = Annotated[str, BeforeValidator(_text)]
"""Any text."""
Integer = Annotated[int, BeforeValidator(_integer)]
"""A whole number; never a boolean, never text."""
Number = Annotated[float, BeforeValidator(_number)]
"""A finite number."""
Boolean = Annotated[bool, BeforeValidator(_boolean)]
"""true or false, not 0, 1, yes or no."""
Secret = Annotated[str, BeforeValidator(_text), SECRET]
"""Text that is never shown."""
Name = Annotated[str, matching(_NAME, NAME_ALLOWED)]
"""The name of a pool, backend, route or rule, as it stands in metrics, logs and URLs."""
FieldName = Annotated[str, matching(_TOKEN, FIELD_NAME_ALLOWED)]
"""The name of a header field; case is kept but means nothing."""
FieldValue = Annotated[str, matching(_FIELD_VALUE, FIELD_VALUE_ALLOWED)]
"""The value of a header field."""
Method = Annotated[str, BeforeValidator(_method)]
"""A request method; case matters, and all registered ones are in capitals."""
Network = Annotated[str, BeforeValidator(_network)]
"""An IP address or network; an address stands for itself."""
UrlPath = Annotated[str, matching(_URL_PATH, URL_PATH_ALLOWED)]
"""An absolute path with an optional query, no fragment."""


def split_address(address: str) -> tuple[str, int]:
    """Return host (without brackets) and port of a valid listening address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _address(value: Any) -> str:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > 65535:
        raise ValueError(ADDRESS_ALLOWED)
    if match["v6"] is not None:
        _require_ipv6(match["v6"])
    return str(value)


def _require_ipv6(text: str) -> None:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError(ADDRESS_ALLOWED) from None


Address = Annotated[str, BeforeValidator(_address)]
"""Where to listen: host:port, [IPv6 address]:port; port 0 is any free one."""
