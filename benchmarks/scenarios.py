"""What is asked of every proxy: one row of the table each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load, the same for every proxy."""

    name: str
    title: str
    method: str = "GET"
    path: str = "/api/v1/prompts/5f0c7e52"
    body_bytes: int = 0
    script: str = "fixed.lua"
    connections: int = 32
    workers: int = 1
    access_log: bool = False
    tls: bool = False
    """Clients speak TLS with the proxy; the backend is plain."""


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("get", "GET, 1 KB JSON, ten request fields"),
        Scenario("varied", "GET, target and fields differ per request", script="varied.lua"),
        Scenario("log", "GET, JSON access log", access_log=True),
        Scenario("tls", "GET, 1 KB JSON, clients speak TLS", tls=True),
        Scenario("varied-log", "GET, varied, JSON access log", script="varied.lua", access_log=True),
        Scenario("post", "POST, 4 KB body", method="POST", path="/upload", body_bytes=4096),
        Scenario("megabyte", "GET, 1 MiB body", path="/files/1m", connections=8),
        Scenario(
            "upload", "POST, 1 MiB body", method="POST", path="/upload", body_bytes=1 << 20, connections=8
        ),
        Scenario("get-2", "GET, 1 KB JSON, 2 workers", workers=2, connections=64),
        Scenario("post-2", "POST, 4 KB body, 2 workers", "POST", "/upload", 4096, workers=2, connections=64),
        Scenario("megabyte-2", "GET, 1 MiB body, 2 workers", path="/files/1m", workers=2, connections=16),
    )
}

STEADY = Scenario("steady", "steady load", connections=64)
"""What the balance of the workers is measured under."""
