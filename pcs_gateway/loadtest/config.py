"""What a load test does: the specification's fields, and ours behind them."""

from __future__ import annotations

from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pcs_gateway.units import Duration


class TestScenario(BaseModel):
    """
    One kind of request.

    Attributes:
        name: Shown in the report; must be unique in a test.
        method: HTTP method.
        path: Target in origin form, with its query.
        headers: Fields besides those of the whole test.
        body: Sent as UTF-8, with its Content-Length.
        weight: Share of the requests, relative to the other scenarios.
        expected_status: The statuses that count as success; empty: 200 to 399.
    """

    __test__: ClassVar[bool] = False  # the specification's name begins as pytest's classes do

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "request"
    method: str = Field(default="GET", pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
    path: str = Field(default="/", pattern=r"^(/[!-~]*|\*)$")
    headers: dict[str, str] = {}
    body: str = ""
    weight: float = Field(default=1.0, gt=0)
    expected_status: tuple[int, ...] = ()

    def expects(self, status: int) -> bool:
        """Say whether an answer with this status is a success."""
        return status in self.expected_status if self.expected_status else 200 <= status < 400


class LoadTestConfig(BaseModel):
    """
    One load test.

    With `target_rps` it is an open loop: requests leave on schedule whatever the answers do, and the response
    time counts from the scheduled moment. Without, it is a closed loop: each user waits for the answer and
    then sends the next request, so a slow service is asked less often (the report says so).

    Attributes:
        base_url: Scheme and authority, such as `http://127.0.0.1:8080`.
        target_rps: Requests per second; 0 means a closed loop.
        duration: Seconds in which requests are sent, the ramp included.
        ramp_up_time: Seconds over which the rate, or the number of users, grows linearly from 0.
        concurrent_users: Closed loop: the users. Open loop: the most connections at once; a request that
            finds none waits for one, and that counts.
        test_scenarios: What is requested, drawn by weight.
        arrivals: Open loop: independent of each other (poisson) or evenly spaced (constant).
        headers: Fields of every request.
        timeout: Seconds from sending until a missing answer is given up.
        connect_timeout: Seconds for a connection to be made.
        think_time: Closed loop: seconds between an answer and the user's next request.
        keep_alive: Use a connection again; else each request asks for its connection to be closed.
        pipelined_requests: Closed loop: requests that a user sends at once on his connection.
        instance_header: The response field that names who answered; answers are counted by it.
        verify_tls: Check the server's certificate.
        seed: Of chance, so that a test can be repeated; None: by the system.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    target_rps: float = Field(default=0.0, ge=0, le=1_000_000)
    duration: Duration = Field(default=10.0, gt=0)
    ramp_up_time: Duration = 0.0
    concurrent_users: int = Field(default=64, ge=1, le=60_000)
    test_scenarios: tuple[TestScenario, ...] = Field(default=(TestScenario(),), min_length=1)
    arrivals: Literal["poisson", "constant"] = "poisson"
    headers: dict[str, str] = {}
    timeout: Duration = Field(default=30.0, gt=0)
    connect_timeout: Duration = Field(default=5.0, gt=0)
    think_time: Duration = 0.0
    keep_alive: bool = True
    pipelined_requests: int = Field(default=1, ge=1, le=1000)
    instance_header: str = "X-PCS-Instance"
    verify_tls: bool = True
    seed: int | None = None

    @property
    def is_open_loop(self) -> bool:
        return self.target_rps > 0

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment and not parts.username
        if parts.scheme not in {"http", "https"} or not parts.hostname or not is_bare:
            raise ValueError("allowed is a scheme and an authority, such as http://127.0.0.1:8080")
        _ = parts.port  # raises ValueError where it is no port
        return value.rstrip("/")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [scenario.name for scenario in self.test_scenarios]
        if len(set(names)) != len(names):
            raise ValueError("the names of test_scenarios must differ")
        if self.ramp_up_time > self.duration:
            raise ValueError("ramp_up_time is part of duration and cannot be longer")
        if self.pipelined_requests > 1:
            if self.is_open_loop or not self.keep_alive:
                raise ValueError("pipelined_requests need a closed loop (target_rps 0) and keep_alive")
            if any(scenario.method == "HEAD" for scenario in self.test_scenarios):
                raise ValueError("HEAD cannot be pipelined: the parser takes its Content-Length for a body")
        return self
