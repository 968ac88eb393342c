"""
What is refused: every request that two parsers could read in two ways, or that breaks a limit.

Each row cites the section that allows or demands the refusal. RFC 9112 unless another is named.
"""

from __future__ import annotations

import json

import pytest

from tests.fakes.backend import OK, ScriptedBackend, answering
from tests.fakes.gateway import Gateway, one_pool
from tests.fakes.waiting import until

LIMITS = {"header_bytes": "1KiB", "headers": 10, "body_bytes": "1KiB"}

HOST = b"Host: a.test\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(lines: bytes) -> bytes:
    """Give a GET with these field lines."""
    return b"GET / HTTP/1.1\r\n" + HOST + lines + b"\r\n"


def post(lines: bytes, body: bytes = b"") -> bytes:
    """Give a POST with these field lines."""
    return b"POST / HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


Row = tuple[str, bytes, int, str]

FRAMING: list[Row] = [
    (
        "6.1: Content-Length and Transfer-Encoding",
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        400,
        "length_and_transfer_encoding",
    ),
    (
        "6.1: Transfer-Encoding and Content-Length",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
        400,
        "length_and_transfer_encoding",
    ),
    (
        "6.3: two Content-Lengths that differ",
        post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"123456"),
        400,
        "malformed_content_length",
    ),
    (
        "6.3: a list of Content-Lengths that differ",
        post(b"Content-Length: 5, 6\r\n", b"123456"),
        400,
        "malformed_content_length",
    ),
    *[
        (
            f"6.3: Content-Length {value!r}",
            post(b"Content-Length: " + value + b"\r\n", b"12345"),
            400,
            "malformed_content_length",
        )
        for value in (b"+5", b"-5", b"0x5", b"5.0", b"5a", b"", b"5 5", b"1_0", b"\xb5", b"9" * 40)
    ],
    *[
        (
            f"6.1: Transfer-Encoding {value!r}",
            post(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n"),
            501,
            "unsupported_transfer_coding",
        )
        for value in (
            b"gzip",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"xchunked",
            b"chunkedx",
            b"identity",
            b"chunked;a=b",
            b"chunked,",
            b",chunked",
            b"",
            b"chunked\xa0",
            b"\x80chunked",
            b"chunked chunked",
            b'"chunked"',
        )
    ],
    (
        "6.1: chunked twice in two fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        501,
        "unsupported_transfer_coding",
    ),
    (
        "6.1: identity beside chunked",
        post(b"Transfer-Encoding: identity\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
        501,
        "unsupported_transfer_coding",
    ),
    (
        "9110 5.5: a vertical tab before chunked",
        post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
        400,
        "control_character",
    ),
    (
        "6.3: two equal Content-Lengths in a list",
        post(b"Content-Length: 5, 5\r\n", b"12345"),
        400,
        "malformed_content_length",
    ),
    (
        "6.3: two equal Content-Lengths",
        post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"12345"),
        400,
        "malformed_content_length",
    ),
    (
        "7.1.1: more extensions than data",
        CHUNKED + (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20,
        400,
        "malformed_chunk",
    ),
    (
        "7.1.1: CR LF in a quoted extension",
        CHUNKED + b'5;a="\r\nabcde\r\n"\r\n0\r\n\r\n',
        400,
        "malformed_chunk",
    ),
    ("7.1: no CR LF behind the data", CHUNKED + b"5\r\nabcde0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1: a bare CR behind the size", CHUNKED + b"5\rabcde\r\n0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1: a space behind the size", CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1.2: a trailer ended by a bare LF", CHUNKED + b"0\r\nA: b\n\r\n", 400, "malformed_chunk"),
    (
        "6.1: two Transfer-Encodings",
        post(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        501,
        "unsupported_transfer_coding",
    ),
    (
        "6.1: Transfer-Encoding in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_coding_in_http_1_0",
    ),
    *[
        (f"7.1: chunk size {size[:20]!r}", CHUNKED + size + b"\r\nabcde\r\n0\r\n\r\n", 400, "malformed_chunk")
        for size in (
            b"0x5",
            b"+5",
            b"-5",
            b"5g",
            b"5 5",
            b" 5",
            b"",
            b"_5",
            b"\xb5",
            b"1" + b"0" * 16,
            b"8000000000000000",
            b"ffffffffffffffff",
            b"5;a=\x01",
            b"5;a=\n",
            b"5;=",
            b'5;a="b',
            b"5;" + b"a" * 1100,
        )
    ],
    ("7.1: a chunk longer than its size", CHUNKED + b"3\r\nabcde\r\n0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1: a chunk ended by a bare LF", CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1: a chunk size ended by a bare LF", CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400, "malformed_chunk"),
    ("7.1.2: a malformed trailer", CHUNKED + b"0\r\nno colon\r\n\r\n", 400, "malformed_chunk"),
    ("7.1.2: a folded trailer", CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", 400, "malformed_chunk"),
    ("7.1.2: a trailer section too long", CHUNKED + b"0\r\nA: " + b"b" * 9000, 400, "malformed_chunk"),
]

FIELDS: list[Row] = [
    ("2.2: a field ended by a bare LF", get(b"A: b\nC: d\r\n"), 400, "bare_line_end"),
    ("2.2: a field ended by a bare CR", get(b"A: b\rC: d\r\n"), 400, "bare_line_end"),
    ("2.2: a bare CR within a value", get(b"A: b\r c\r\n"), 400, "bare_line_end"),
    ("2.2: a section ended by two bare LF", b"GET / HTTP/1.1\r\n" + HOST + b"A: b\n\n", 400, "bare_line_end"),
    (
        "2.2: a request hidden behind two bare LF",
        b"GET / HTTP/1.1\r\nHost: a.test\n\nGET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n",
        400,
        "bare_line_end",
    ),
    ("2.2: a request line ended by a bare LF", b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400, "bare_line_end"),
    ("2.2: a request line ended by a bare CR", b"GET / HTTP/1.1\r" + HOST + b"\r\n", 400, "bare_line_end"),
    ("2.2: whitespace before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded_field"),
    ("5.2: obs-fold with a space", get(b"A: b\r\n c\r\n"), 400, "folded_field"),
    ("5.2: obs-fold with a tab", get(b"A: b\r\n\tc\r\n"), 400, "folded_field"),
    ("5.2: obs-fold of an id", get(b"X-Request-ID: b\r\n c\r\n"), 400, "folded_field"),
    ("9110 5.5: NUL in a value", get(b"A: b\x00c\r\n"), 400, "control_character"),
    *[
        (f"9110 5.5: {octet!r} in a value", get(b"A: b" + octet + b"c\r\n"), 400, "control_character")
        for octet in (b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1f", b"\x7f")
    ],
    ("9110 5.5: NUL in an id", get(b"X-Request-ID: b\x00c\r\n"), 400, "control_character"),
    ("9110 5.6.2: NUL in a name", get(b"A\x00: b\r\n"), 400, "control_character"),
    ("5.1: a space before the colon", get(b"A : b\r\n"), 400, "space_before_colon"),
    ("5.1: a tab before the colon", get(b"A\t: b\r\n"), 400, "space_before_colon"),
    ("5.1: a space before Host's colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "space_before_colon"),
    (
        "5.1: a space before Transfer-Encoding's colon",
        post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
        400,
        "space_before_colon",
    ),
    ("5: no colon", get(b"A\r\n"), 400, "malformed_field"),
    ("5: no name", get(b": b\r\n"), 400, "malformed_field"),
    ("9110 5.6.2: a delimiter in a name", get(b"A(b): c\r\n"), 400, "malformed_field"),
    ("9110 5.6.2: an octet above ASCII in a name", get(b"A\xe9: c\r\n"), 400, "malformed_field"),
    ("3.2: no Host", b"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400, "missing_host"),
    ("3.2: no field at all", b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    ("3.2: two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "repeated_host"),
    ("3.2: two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, "repeated_host"),
    ("3.2: two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "repeated_host"),
    *[
        (f"3.2: Host {host!r}", b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400, "malformed_host")
        for host in (
            b"",
            b"a/b",
            b"a b",
            b"user@a",
            b"a:b",
            b"a:1:2",
            b"a:123456",
            b"[::1",
            b"::1",
            b"a\\b",
            b"a?b",
            b"a#b",
            b":80",
            b"\xe9",
            b"http://a",
            b"a,b",
            b"a%2e",
            b"a%00",
            b"a:65536",
            b"a:99999",
            b"a:+1",
            b"[::::]",
            b"[1.2.3.4]",
            b"[]",
            b"a\xa0",
            b"a\tb",
        )
    ],
    *[
        (f"9110 10.1.1: Expect {value!r}", get(b"Expect: " + value + b"\r\n"), 417, "unknown_expectation")
        for value in (
            b"the-best",
            b"",
            b"100-continue, x",
            b"100-continue;a=b",
            b"100 continue",
            b"100-continue\xa0",
        )
    ],
    (
        "9110 10.1.1: two expectations",
        get(b"Expect: 100-continue\r\nExpect: x\r\n"),
        417,
        "unknown_expectation",
    ),
    *[
        (
            f"9110 5.3: {first.decode()} and {second.decode()}",
            get(first + b": a\r\nX: y\r\n" + second + b": b\r\n"),
            400,
            "repeated_field",
        )
        for first, second in (
            (b"Authorization", b"Authorization"),
            (b"Authorization", b"authorization"),
            (b"content-type", b"Content-Type"),
            (b"Content-Type", b"Content-Type"),
            (b"Range", b"RANGE"),
            (b"If-Range", b"If-Range"),
            (b"If-Modified-Since", b"if-modified-since"),
        )
    ],
    (
        "9110 5.3: two Authorizations, spelled alike and of one value",
        get(b"Authorization: a\r\nAuthorization: a\r\n"),
        400,
        "repeated_field",
    ),
]

REQUEST_LINES: list[Row] = [
    ("2.3: HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/0.9", b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/9.9", b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/1.10", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/01.1", b"GET / HTTP/01.1\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("2.3: HTTP/1", b"GET / HTTP/1\r\n" + HOST + b"\r\n", 505, "unsupported_version"),
    ("9113 3.4: HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    ("3: HTTP/0.9 style", b"GET /\r\n", 400, "malformed_request_line"),
    ("3: HTTP/0.9 style with fields", b"GET /\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: lower-case protocol", b"GET / http/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: another protocol", b"GET / ICE/1.0\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    *[
        (
            f"9110 9.1: method {method.decode()}",
            method + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
            501,
            "lower_case_method",
        )
        for method in (b"get", b"Get", b"trace", b"dELETE", b"x-own")
    ],
    *[
        (
            f"9110 9.1: a method of {len(method)} characters",
            method + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
            501,
            "method_too_long",
        )
        for method in (b"Q" * 33, b"Q" * 900, b"q" * 34)
    ],
    ("9110 9.1: a method without end", b"Q" * 33, 501, "method_too_long"),
    ("9110 9.1: a long method without end that is no token", b"G(" * 33, 400, "malformed_request_line"),
    ("3: two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: a space at the end", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: a tab", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: a space in the target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: a space at the start", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3.1: a method that is no token", b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: no method", b"/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, "malformed_request_line"),
    ("3: bytes of TLS", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed_request_line"),
    ("3.2: a fragment", b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "fragment_in_target"),
    (
        "3.2: a fragment in absolute form",
        b"GET http://a.test/a#b HTTP/1.1\r\n" + HOST + b"\r\n",
        400,
        "fragment_in_target",
    ),
    *[
        (f"3.2: target {target!r}", b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400, reason)
        for target, reason in (
            (b"*", "malformed_target"),
            (b"a.test", "malformed_target"),
            (b"a.test:80", "malformed_target"),
            (b"ftp://a.test/", "malformed_target"),
            (b"http://", "malformed_target"),
            (b"http:///a", "malformed_target"),
            (b"http://user@a.test/", "malformed_target"),
            (b"http://a.test:65536/", "malformed_target"),
            (b"http://a.test,b.test/", "malformed_target"),
            (b"http://a%2etest/", "malformed_target"),
            (b"http:a.test", "malformed_target"),
            (b"http:/a.test/", "malformed_target"),
            (b"?a", "malformed_target"),
            (b"[::1]:80", "malformed_target"),
            (b"**", "malformed_target"),
            (b"/\xc3\xa9", "malformed_target"),
            (b"/\x7f", "malformed_target"),
            (b"/%", "malformed_target"),
            (b"/%4", "malformed_target"),
            (b"/%zz", "malformed_target"),
            (b"/%00", "malformed_target"),
        )
    ],
    (
        "9110 9.3.6: CONNECT",
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
        405,
        "connect_refused",
    ),
    ("9110 9.3.6: CONNECT with a path", b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n", 405, "connect_refused"),
    ("9110 9.3.6: CONNECT *", b"CONNECT * HTTP/1.1\r\n" + HOST + b"\r\n", 405, "connect_refused"),
    (
        "9110 7.8: an upgrade with a body",
        post(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n", b"ab"),
        400,
        "upgrade_with_body",
    ),
    (
        "9110 7.8: an upgrade with a chunked body",
        post(b"Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        400,
        "upgrade_with_body",
    ),
]

LIMIT_ROWS: list[Row] = [
    ("5.4: a head beyond header_bytes", get(b"A: " + b"b" * 1024 + b"\r\n"), 431, "head_too_large"),
    ("5.4: a head without end", get(b"A: ")[:-2] + b"b" * 1024, 431, "head_too_large"),
    (
        "3: a target beyond header_bytes",
        b"GET /" + b"a" * 1024 + b" HTTP/1.1\r\n\r\n",
        414,
        "target_too_long",
    ),
    ("3: a target without end", b"GET /" + b"a" * 1024, 414, "target_too_long"),
    ("6585 5: eleven fields", get(b"A: b\r\n" * 10), 431, "too_many_fields"),
    (
        "9110 15.5.14: a length beyond body_bytes",
        post(b"Content-Length: 1025\r\n"),
        413,
        "body_too_large",
    ),
    (
        "9110 15.5.14: a length beyond any number",
        post(b"Content-Length: 9999999999999999999\r\n"),
        413,
        "body_too_large",
    ),
    (
        "9110 15.5.14: chunks beyond body_bytes",
        CHUNKED + b"400\r\n" + b"a" * 1024 + b"\r\n1\r\na\r\n",
        413,
        "body_too_large",
    ),
    (
        "9110 10.1.1: an expectation of too much",
        post(b"Content-Length: 1025\r\nExpect: 100-continue\r\n"),
        413,
        "body_too_large",
    ),
]

ROWS = FRAMING + FIELDS + REQUEST_LINES + LIMIT_ROWS


@pytest.mark.parametrize("in_one_piece", [True, False], ids=["whole", "split"])
@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
async def test_refused(request_bytes: bytes, status: int, reason: str, in_one_piece: bool) -> None:
    """It gets a clear answer and a counted reason; the connection ends; no backend sees any of it."""
    configuration = one_pool("http://127.0.0.1:1", limits=LIMITS)
    async with ScriptedBackend(answering(OK)) as backend:
        configuration = one_pool(backend.url, limits=LIMITS)
        async with Gateway(configuration) as gateway, gateway.client() as client:
            if in_one_piece:
                client.writer.write(request_bytes)
            else:
                for at in range(0, len(request_bytes), 7):
                    client.writer.write(request_bytes[at : at + 7])
                    await client.writer.drain()
            answer = await client.read_answer("" if status == 405 else "GET")

            assert (status, reason) == (answer.status, json.loads(answer.body)["reason"])
            assert answer.fields["content-type"] == "application/problem+json"
            assert isinstance(json.loads(answer.body)["message"], str)
            assert answer.fields["proxy-status"].startswith("pcs-gateway; error=")
            assert answer.fields["connection"] == "close"
            assert await client.read_end() == b""
            await until(lambda: gateway.records)
            assert gateway.delta.reasons == {reason: 1}
        assert backend.received == b""
