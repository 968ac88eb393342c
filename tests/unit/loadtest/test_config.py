"""What a load test may be asked to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from pcs_gateway.loadtest import LoadTestConfig, TestScenario
from pcs_gateway.loadtest.target import Target, encode_request


def test_durations_are_seconds_or_text() -> None:
    """The specification's numbers of seconds and our texts mean the same."""
    config = LoadTestConfig(base_url="http://x/", duration="2m", ramp_up_time=5)  # type: ignore[arg-type]

    assert (config.duration, config.ramp_up_time, config.base_url) == (120, 5, "http://x")
    assert LoadTestConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://x"}, "scheme and an authority"),
        ({"base_url": "http://x/path"}, "scheme and an authority"),
        ({"base_url": "http://x:99999"}, "[Pp]ort"),
        ({"duration": 0}, "greater than 0"),
        ({"duration": 1, "ramp_up_time": 2}, "ramp_up_time"),
        ({"target_rps": 5, "pipelined_requests": 2}, "closed loop"),
        ({"pipelined_requests": 2, "test_scenarios": [{"method": "HEAD"}]}, "HEAD"),
        ({"test_scenarios": [{}, {}]}, "names"),
        ({"test_scenarios": []}, "at least 1"),
        ({"test_scenarios": [{"path": "no-slash"}]}, "pattern"),
        ({"test_scenarios": [{"path": "/a b"}]}, "pattern"),
        ({"test_scenarios": [{"weight": 0}]}, "greater than 0"),
        ({"targt_rps": 5}, "Extra"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    """Each mistake is told by its name."""
    with pytest.raises(ValidationError, match=message):
        LoadTestConfig.model_validate({"base_url": "http://127.0.0.1:1", **options})


def test_success_is_by_default_below_400() -> None:
    """A scenario that names statuses expects only those."""
    assert [TestScenario().expects(status) for status in (200, 307, 404, 503)] == [True, True, False, False]
    assert TestScenario(expected_status=(404,)).expects(404)
    assert not TestScenario(expected_status=(404,)).expects(200)


def test_a_request_is_encoded_once_and_whole() -> None:
    """A scenario's fields win over the test's, these over the defaults, in any spelling."""
    config = LoadTestConfig(
        base_url="http://gateway.test:81", headers={"accept": "text/plain", "X-A": "1"}, keep_alive=False
    )
    scenario = TestScenario(method="POST", path="/p?q=1", headers={"x-a": "2", "host": "other"}, body="é")

    message = encode_request(scenario, config, Target.parse(config.base_url))

    head, _, body = message.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /p?q=1 HTTP/1.1",
        b"User-Agent: pcs-gateway-loadtest",
        b"accept: text/plain",
        b"x-a: 2",
        b"host: other",
        b"Content-Length: 2",
        b"Connection: close",
    ]
    assert body == "é".encode()


def test_a_target_has_its_schemes_port() -> None:
    """Without a port it is the scheme's; an IPv6 address loses its brackets."""
    assert Target.parse("https://pcs.test").port == 443
    assert Target.parse("http://[::1]:8080") == Target("http", "::1", 8080, "[::1]:8080")
