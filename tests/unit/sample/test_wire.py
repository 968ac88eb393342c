"""The sample speaks on the wire as PCS was seen to (PCS's service notes, section 3)."""

import gzip
import json

import pytest

from pcs_gateway.sample import SampleConfig, SampleServer
from tests.fakes.raw_client import RawClient

USUAL_FIELDS = {
    "server", "content-length", "content-type", "x-content-type-options", "x-frame-options",
    "x-xss-protection", "strict-transport-security", "referrer-policy", "permissions-policy",
    "x-process-time", "x-pcs-instance", "date",
}  # fmt: skip


async def test_an_answer_carries_the_usual_fields_and_no_cache_field(sample: SampleServer) -> None:
    """A normal answer has PCS's middleware fields, the instance's name, and nothing for caches."""
    async with RawClient(sample.port) as client:
        answer = await client.ask("GET /api/v1/health/", "If-None-Match: *", "Range: bytes=0-1")

    assert answer.status == 200
    assert set(answer.fields) == USUAL_FIELDS
    assert answer.fields["server"] == "uvicorn"
    assert answer.fields["x-pcs-instance"] == "one"
    assert float(answer.fields["x-process-time"]) >= 0
    assert json.loads(answer.body)["status"] == "healthy"


async def test_a_wrong_slash_is_redirected_to_whatever_host_was_sent(sample: SampleServer) -> None:
    """A 307 has an empty body and an absolute Location with the request's Host and query."""
    async with RawClient(sample.port) as client:
        added = await client.ask("GET /api/v1/prompts?size=3", "Host: anything.example:81")
        dropped = await client.ask("GET /api/v1/health/liveness/", "X-Forwarded-Proto: https")

    assert (added.status, added.body) == (307, b"")
    assert added.fields["location"] == "http://anything.example:81/api/v1/prompts/?size=3"
    assert dropped.fields["location"] == "https://sample.test/api/v1/health/liveness"


async def test_without_host_the_redirect_names_the_socket(sample: SampleServer) -> None:
    """An HTTP/1.0 request without Host is redirected to the address it came in by."""
    async with RawClient(sample.port) as client:
        client.writer.write(b"GET /api/v1/prompts HTTP/1.0\r\n\r\n")
        answer = await client.read_answer()

    assert answer.fields["location"] == f"http://127.0.0.1:{sample.port}/api/v1/prompts/"


@pytest.mark.parametrize(
    ("head", "status", "length"),
    [
        ("HEAD /api/v1/health/", 405, 65),
        ("PATCH /api/v1/prompts/", 405, 65),
        ("GET /nowhere", 404, 56),
        ("GET //api/v1/health/", 404, 56),
        ("GET /api/v1/x/../health/", 404, 56),
        ("GET /api/v1/health/;x", 404, 56),
        ("GET /API/v1/health/", 404, 56),
    ],
)
async def test_an_unknown_path_or_method_is_json(
    sample: SampleServer, head: str, status: int, length: int
) -> None:
    """404 and 405 are JSON of a known length; HEAD is no method of any route; paths are taken literally."""
    async with RawClient(sample.port) as client:
        answer = await client.ask(head)

    assert answer.status == status
    assert int(answer.fields["content-length"]) == length
    assert "allow" not in answer.fields


async def test_percent_signs_in_a_path_are_decoded(sample: SampleServer) -> None:
    """`%70rompts` is `prompts`."""
    async with RawClient(sample.port) as client:
        assert (await client.ask("GET /api/v1/%70rompts/?size=1")).status == 200


@pytest.mark.parametrize("target", ["/api/v1/health/", "/nowhere", "/api/v1/prompts/?size=20"])
async def test_gzip_is_chunked_and_only_then_is_there_vary(sample: SampleServer, target: str) -> None:
    """Asked for gzip, any body comes compressed and chunked, with Vary; the identity form has no Vary."""
    async with RawClient(sample.port) as client:
        compressed = await client.ask(f"GET {target}", "Accept-Encoding: gzip, deflate")
        plain = await client.ask(f"GET {target}")

    assert compressed.fields["content-encoding"] == "gzip"
    assert compressed.fields["vary"] == "Accept-Encoding"
    assert "content-length" not in compressed.fields
    assert "vary" not in plain.fields
    assert json.loads(gzip.decompress(compressed.body)).keys() == json.loads(plain.body).keys()


async def test_an_unhandled_error_closes_the_connection_without_saying_so(sample: SampleServer) -> None:
    """A 500 nobody foresaw lacks the usual fields and gzip, and what was pipelined behind it is dropped."""
    async with RawClient(sample.port) as client:
        client.send("POST /api/v1/prompts/generate", "Accept-Encoding: gzip", body=b'{"template_name": null}')
        client.send("GET /api/v1/health/")
        answer = await client.read_answer()
        rest = await client.read_end()

    assert (answer.status, rest) == (500, b"")
    assert 100 <= len(answer.body) <= 110
    assert json.loads(answer.body)["error"] == "InternalServerError"
    assert "x-process-time" not in answer.fields
    assert "connection" not in answer.fields
    assert "content-encoding" not in answer.fields


async def test_pipelined_requests_are_answered_in_order(sample: SampleServer) -> None:
    """Two requests sent at once get their answers one after the other."""
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/health/")
        client.send("GET /nowhere")

        assert [(await client.read_answer()).status, (await client.read_answer()).status] == [200, 404]


async def test_http_1_0_keep_alive_is_not_honoured(sample: SampleServer) -> None:
    """An HTTP/1.0 connection ends with its answer, whatever the client asks for."""
    async with RawClient(sample.port) as client:
        answer = await client.ask("GET /api/v1/health/ HTTP/1.0", "Connection: keep-alive")

        assert "connection" not in answer.fields
        assert await client.read_end() == b""


async def test_expect_100_continue_is_answered_first(sample: SampleServer) -> None:
    """The interim answer comes before the body was sent."""
    body = b'{"variables": {"a": 1}}'
    async with RawClient(sample.port) as client:
        client.send("POST /api/v1/prompts/generate", "Expect: 100-continue", f"Content-Length: {len(body)}")
        interim = await client.read_answer()
        client.writer.write(body)
        answer = await client.read_answer()

    assert (interim.status, answer.status) == (100, 200)


async def test_head_and_body_leave_in_segments_of_their_own(sample: SampleServer) -> None:
    """The first read of an answer can be its head alone, as with uvicorn."""
    async with RawClient(sample.port) as client:
        client.send("GET /api/v1/health/")
        head = await client.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])

        assert len(await client.reader.readexactly(length)) == 85 or length > 0


async def test_cross_origin_fields_come_for_an_allowed_origin_only(sample: SampleServer) -> None:
    """An allowed Origin adds its fields and Vary; a foreign one nothing, not even Vary."""
    async with RawClient(sample.port) as client:
        allowed = await client.ask("GET /api/v1/health/", "Origin: http://localhost:3000")
        foreign = await client.ask("GET /api/v1/health/", "Origin: http://elsewhere.example")
        preflight = await client.ask(
            "OPTIONS /api/v1/prompts/", "Origin: http://localhost:3000", "Access-Control-Request-Method: PUT"
        )

    assert allowed.fields["access-control-allow-origin"] == "http://localhost:3000"
    assert allowed.fields["vary"] == "Origin"
    assert not {"access-control-allow-origin", "vary"} & set(foreign.fields)
    assert (preflight.status, preflight.body) == (200, b"OK")
    assert preflight.fields["access-control-max-age"] == "600"


async def test_an_upgrade_is_forbidden(sample: SampleServer) -> None:
    """PCS has no WebSocket: 403 and the end of the connection."""
    async with RawClient(sample.port) as client:
        answer = await client.ask("GET /api/v1/health/", "Connection: Upgrade", "Upgrade: websocket")

        assert answer.status == 403
        assert await client.read_end() == b""


async def test_large_heads_and_bodies_are_accepted(sample: SampleServer) -> None:
    """200 KB of header fields and 2 MB of a body are served, a target of 70 KB is not."""
    body = json.dumps({"variables": {"text": "x" * 2_000_000}}).encode()
    async with RawClient(sample.port) as client:
        assert (await client.ask("GET /api/v1/health/", f"X-Long: {'x' * 200_000}")).status == 200
        assert len((await client.ask("POST /api/v1/prompts/generate", body=body)).body) > 2_000_000
        assert (await client.ask(f"GET /api/v1/health/?{'x' * 60_000}")).status == 200
    async with RawClient(sample.port) as client:
        assert (await client.ask(f"GET /api/v1/health/?{'x' * 70_000}")).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("localhost", 200), ("pcs.example", 200), ("PCS.example", 400), ("x", 400)],
)
async def test_a_trusted_host_is_compared_with_case(host: str, status: int) -> None:
    """In production mode a foreign Host is refused in plain text, on health too."""
    async with (
        SampleServer(SampleConfig(trusted_host="pcs.example")) as server,
        RawClient(server.port) as client,
    ):
        answer = await client.ask("GET /api/v1/health/", f"Host: {host}")

    assert answer.status == status
    if status == 400:
        assert answer.body == b"Invalid host header"
        assert "x-process-time" not in answer.fields
