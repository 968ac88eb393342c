"""Where requests go and what their bytes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pcs_gateway.loadtest.config import LoadTestConfig, TestScenario

DEFAULT_PORTS = {"http": 80, "https": 443}
USER_AGENT = "pcs-gateway-loadtest"


@dataclass(frozen=True, slots=True)
class Target:
    """
    One server.

    Attributes:
        scheme: http or https.
        host: Name or address, as configured.
        port: TCP port.
        authority: What Host says.
    """

    scheme: str
    host: str
    port: int
    authority: str

    @classmethod
    def parse(cls, base_url: str) -> Target:
        parts = urlsplit(base_url)
        return cls(
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port or DEFAULT_PORTS[parts.scheme],
            authority=parts.netloc,
        )


def encode_request(scenario: TestScenario, config: LoadTestConfig, target: Target) -> bytes:
    """Return the whole request; it is the same each time, so it is made once."""
    body = scenario.body.encode()
    fields = {"Host": target.authority, "User-Agent": USER_AGENT, "Accept": "*/*"}
    fields = _replaced(fields, config.headers)
    fields = _replaced(fields, scenario.headers)
    if body or scenario.method in {"POST", "PUT", "PATCH"}:
        fields["Content-Length"] = str(len(body))
    if not config.keep_alive:
        fields["Connection"] = "close"
    lines = [
        f"{scenario.method} {scenario.path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _replaced(fields: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Return `fields` with `others`, which win over the same name in any case."""
    names = {name.lower() for name in others}
    return {name: value for name, value in fields.items() if name.lower() not in names} | dict(others)
