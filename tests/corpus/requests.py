"""
Hostile and odd requests, most of them made by rules, so that nobody's imagination is the limit.

Each is a whole conversation of a client: it sends these bytes and closes its half of the connection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.corpus.cases import CHUNKED, HOST, NEXT, Case, post, request, unique

LENGTHS = (
    b"5", b"05", b"0005", b" 5", b"5 ", b"\t5\t", b"+5", b"-5", b"0x5", b"5.0", b"5e0", b"5,5", b"5, 5",
    b"5;", b"", b" ", b"5 5", b"five", b"\xb5", b"5\x00", b"\x0b5", b"5\xa0", b"0", b"00", b"4", b"6",
    b"99999999999999999999", b"18446744073709551621", b"4294967301", b"1_0", b"0b101", b"0o5", b"(5)",
    b'"5"', b"5\r", b"5\n", b"5\r\n ",
)  # fmt: skip
CODINGS = (
    b"chunked", b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked", b"chunked\t", b"chunked,", b",chunked",
    b"chunked, chunked", b"identity", b"identity, chunked", b"gzip", b"gzip, chunked", b"chunked, gzip",
    b"chunked, identity", b"chunked;q=1", b"chunked;a", b'"chunked"', b"'chunked'", b"xchunked",
    b"chunkedx", b"chun ked", b"", b"\x0bchunked", b"\x0cchunked", b"chunked\x00", b"\x00chunked",
    b"chunked\xa0", b"\xa0chunked", b"chunked\r", b"chunked\n", b"\r\n chunked", b"\n chunked",
    b"\rchunked", b"cow", b"trailers, chunked", b"chunke\xc4\x91",
)  # fmt: skip
SIZES = (
    b"5", b"05", b"0000000000000005", b"00000000000000005", b"0" * 40 + b"5", b"0x5", b"0X5", b"+5", b"-5",
    b" 5", b"5 ", b"5\t", b"\t5", b"5 5", b"5g", b"g5", b"", b"a", b"A", b"4", b"6", b"ffffffffffffffff",
    b"7fffffffffffffff", b"8000000000000000", b"10000000000000005", b"100000005", b"5.0", b"5,", b"_5",
    b"5_", b"\xb5", b"5\x00", b"\x005", b"5\x0b", b"\x0c5", b"5\r", b"5\n", b"5h", b"0b5", b"$5", b"5\xa0",
    b"(5)", b"five",
)  # fmt: skip
EXTENSIONS = (
    b";", b";a", b";a=b", b";a=b;c=d", b"; a", b" ;a", b" ; a = b", b";a=", b";=b", b';a="b"', b';a="b;c"',
    b';a="\\""', b';a="b', b';a=b"', b';a="\r\n"', b';a="\n"', b';a="\r"', b";a\r", b";a\n", b";\r\n5",
    b";\x00", b";a=\x00", b";a=\x7f", b";a=\x80", b';a="\x80"', b";a b", b";;", b";a;", b"\t;a",
    b";" + b"a" * 200, b"a;b", b",a", b"#a", b" a",
)  # fmt: skip
TRAILERS = (
    b"X-A: b\r\n", b"X-A: b\r\nX-C: d\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Host: evil\r\n", b"Authorization: evil\r\n", b"X-Forwarded-For: 6.6.6.6\r\n",
    b"X_Forwarded_For: 6.6.6.6\r\n", b"X-A : b\r\n", b"X-A\r\n", b": b\r\n", b" X-A: b\r\n",
    b"X-A: b\r\n c\r\n", b"X-A: b\n", b"X-A: b\rX-C: d\r\n", b"X-A: \x00\r\n", b"X-A: \x80\r\n",
    b"X-A:\r\n", b"\r", b"\n", b"GET /hidden HTTP/1.1\r\n", b"If-Match: x\r\n", b"Cookie: a\r\n",
    b"X-A: \x0b\r\n",
)  # fmt: skip
HOSTS = (
    b"a.test", b"A.TEST", b"a.test:80", b"a.test:", b"a.test.", b"b.test", b"127.0.0.1", b"[::1]",
    b"[::1]:80", b"", b" a.test ", b"\ta.test", b"a.test b.test", b"a.test,b.test", b"a.test, b.test",
    b"a.test/", b"a.test/x", b"a.test?x", b"a.test#x", b"@a.test", b"u@a.test", b"a.test:x",
    b"a.test:80:80", b"a.test:-1", b"a.test:65536", b"a.test:0", b"[::1", b"::1", b"[::g]", b"a_b.test",
    b"a%2etest", b"a.test%00", b"a.test\x00", b"a\\b", b"http://a.test", b"\xe9.test", b"a.test\x0b",
    b"xn--e.test", b"-", b".", b"..", b"a..b", b"*", b"a'b", b'a"b', b"a<b", b"a;b", b"a|b", b"a^b", b"a`b",
    b"a{b", b"$a", b"!a", b"a=b", b"0x7f.1", b"2130706433",
)  # fmt: skip
TARGETS = (
    b"/", b"/a", b"/a?b", b"/a?b?c", b"/?", b"?", b"a", b"", b"*", b"/*", b"//", b"//a.test/b", b"/a//b",
    b"/./a", b"/a/../b", b"/..", b"/a/..", b"/a/%2e%2e/b", b"/a/.%2e/b", b"/%2f", b"/a%2Fb", b"/a\\b",
    b"/a%5cb", b"/a%00", b"/a\x00b", b"/a%", b"/a%4", b"/a%zz", b"/%41", b"/a;b", b"/a;b/../c", b"/;/..",
    b"/a#b", b"#", b"/a b", b"/a\tb", b"/a\x0bb", b"/a\x7f", b"/a\x80", b"/\xc3\xa9", b"/%c3%a9", b'/a"b',
    b"/a<b>", b"/a^b", b"/a`b", b"/a{b}", b"/a|b", b"/a[b]", b"/a:b@c", b"/a!$&'()*+,=~", b"http://a.test/",
    b"http://a.test", b"http://a.test/a?b", b"http://a.test?b", b"http://b.test/a", b"HTTP://a.test/",
    b"https://a.test/", b"http://u@a.test/", b"http:///a", b"http://", b"http:/a", b"http:a",
    b"ftp://a.test/", b"a.test", b"a.test:80", b"//a.test", b"http://a.test:80/", b"http://a.test:x/",
    b"http://a.test:65536/", b"http://[::1]/", b"http://[::1/", b"http://a.test#b", b"http://a.test/#b",
    b"http://a.test/../b", b"file:///etc/x", b"/a?x=http://b.test/", b"/a?/../b", b"/.", b"/...", b"/a/.",
    b"/a/./", b"/.a", b"/%2e", b"/%2E%2E/", b"/a/%252e%252e/b",
)  # fmt: skip
METHODS = (
    b"GET", b"get", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT",
    b"PROPFIND", b"BREW", b"PRI", b"M-SEARCH", b"X!#$%&'*+-.^_`|~9", b"", b"G(T", b"G\x00T", b"G\x80T",
    b"GET\t", b"\tGET", b" GET", b"GE T", b"GET,", b'"GET"', b"HTTP/1.1", b"0",
)  # fmt: skip
VERSIONS = (
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2", b"HTTP/2.0", b"HTTP/1", b"HTTP/11",
    b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01", b"HTTP/ 1.1", b"HTTP /1.1", b"http/1.1", b"HTTP/1.1 ",
    b"HTTP/1.1\t", b"HTTP/1,1", b"HTTP/1.1.1", b"HTTP/+1.1", b"HTTP/1.1x", b"XHTTP/1.1", b"HTTP/\xb9.1",
    b"ICE/1.1", b"",
)  # fmt: skip
CONNECTIONS = (
    b"close", b"Close", b"keep-alive", b"keep-alive, close", b"x-own", b"X-OWN, close", b"close, X-Own",
    b"x-own,,", b",", b"", b"upgrade", b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection",
    b"Authorization", b"Cookie", b"X-Forwarded-For", b"Via", b"X-Request-ID", b"Content-Type", b"TE",
    b'"close"', b"clo se", b"x-own;a", b"close\xa0", b"\x80", b"x_own", b"Keep-Alive", b"Expect",
)  # fmt: skip
EXPECTATIONS = (
    b"100-continue", b"100-Continue", b" 100-continue ", b"100-continue, 100-continue", b"100-continue;a",
    b"200-ok", b"", b"100", b"continue",
)  # fmt: skip
SINGLES = (
    b"Authorization", b"Content-Type", b"Range", b"If-Range", b"If-Modified-Since", b"User-Agent",
    b"Referer", b"Cookie", b"Accept", b"X-Own", b"Expect", b"Upgrade", b"Max-Forwards", b"Date", b"Via",
    b"X-Forwarded-For", b"X-Request-ID", b"traceparent", b"Trailer", b"TE",
)  # fmt: skip
DOUBLES = (
    b"X_Forwarded_For", b"X_Own", b"Content_Length", b"Transfer_Encoding", b"Content_Type", b"_", b"_Host",
    b"Host_", b"X.Own", b"X~Own", b"Content-Length-", b"-Content-Length", b"Content--Length",
    b"Contentlength", b"X-Own-", b"!", b"0", b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authorization",
    b"HTTP2-Settings", b"TE", b"Trailer", b"Upgrade", b"Forwarded", b"Via", b"X-Real-IP",
    b"X-Forwarded-Host", b"Proxy",
)  # fmt: skip
CODING_NAMES = (
    b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer-Encoding ",
    b" Transfer-Encoding", b"Transfer-Encoding\t", b"Transfer_Encoding", b"Transfer-Encoding\x00",
    b"X\nTransfer-Encoding", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"\rTransfer-Encoding",
    b"Transfer\x00-Encoding", b"Transfer-Encoding\x0b",
)  # fmt: skip
LENGTH_NAMES = (
    b"content-length", b"CONTENT-LENGTH", b"Content-Length ", b" Content-Length", b"Content_Length",
    b"X: y\nContent-Length", b"X: y\rContent-Length", b"Content-Length\x00", b"Content\xe2\x80\x90Length",
)  # fmt: skip
HOST_LINES = (
    b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhOST: b\r\n", b"Host : a\r\n", b" Host: a\r\n",
    b"Host\r\n", b"X: y\nHost: a\r\n", b"Host: a\r\n b\r\n", b"Host: a\nHost: b\r\n", b"Host:\r\n a\r\n",
    b"Host_: a\r\n", b"Host: a\r\nX-Host: b\r\n",
)  # fmt: skip
BODY = b"hello"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SAMPLE = b"POST /a HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\nContent-Length: 5\r\nX-C: d\r\n\r\nhello"
CHUNKED_SAMPLE = (
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"
)


def _framing() -> Iterator[Case]:
    for value in LENGTHS:
        yield Case(f"length {value!r}", post(b"Content-Length: " + value + b"\r\n", BODY))
    for value in CODINGS:
        yield Case(f"coding {value!r}", post(b"Transfer-Encoding: " + value + b"\r\n", CHUNKS))
    for first, second in itertools.product((b"5", b"6", b"05"), repeat=2):
        lines = b"Content-Length: %b\r\nContent-Length: %b\r\n" % (first, second)
        yield Case(f"lengths {first!r} {second!r}", post(lines, BODY))
    for length, coding in itertools.product(
        (b"5", b"15", b"0", b"five"), (b"chunked", b"identity", b"gzip", b"x")
    ):
        one, two = b"Content-Length: %b\r\n" % length, b"Transfer-Encoding: %b\r\n" % coding
        yield Case(f"both {length!r} {coding!r}", post(one + two, CHUNKS))
        yield Case(f"both {coding!r} {length!r}", post(two + one, CHUNKS))
    for name in CODING_NAMES:
        yield Case(f"coding named {name!r}", post(name + b": chunked\r\n", CHUNKS))
        yield Case(
            f"coding named {name!r} and a length",
            post(b"Content-Length: 15\r\n" + name + b": chunked\r\n", CHUNKS),
        )
    for name in LENGTH_NAMES:
        yield Case(f"length named {name!r}", post(name + b": 5\r\n", BODY))
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"BREW", b"PUT"):
        yield Case(f"body of {method!r}", request(b"Content-Length: 5\r\n", BODY, method))
        yield Case(f"chunks of {method!r}", request(CHUNKED, CHUNKS, method))
        yield Case(f"no framing of {method!r}", request(b"", b"", method))
    yield Case("hidden in a body", post(b"Content-Length: %d\r\n" % len(NEXT), NEXT))
    yield Case("hidden in a chunk", post(CHUNKED, b"%x\r\n%b\r\n0\r\n\r\n" % (len(NEXT), NEXT)))
    yield Case("old chunked", request(CHUNKED, CHUNKS, b"POST", version=b"HTTP/1.0"))
    yield Case("old length", request(b"Content-Length: 5\r\n", BODY, b"POST", version=b"HTTP/1.0"))
    yield Case(
        "old length kept alive",
        request(b"Content-Length: 5\r\nConnection: keep-alive\r\n", BODY, b"POST", version=b"HTTP/1.0"),
    )


def _chunks() -> Iterator[Case]:
    for size in SIZES:
        yield Case(f"size {size[:24]!r}", post(CHUNKED, size + b"\r\nhello\r\n0\r\n\r\n"))
    for extension in EXTENSIONS:
        yield Case(
            f"extension {extension[:24]!r}", post(CHUNKED, b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")
        )
        yield Case(
            f"last extension {extension[:24]!r}", post(CHUNKED, b"5\r\nhello\r\n0" + extension + b"\r\n\r\n")
        )
    for trailer in TRAILERS:
        yield Case(f"trailer {trailer!r}", post(CHUNKED, b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"))
    for last in (
        b"0\r\n\r\n",
        b"00\r\n\r\n",
        b"000000\r\n\r\n",
        b"-0\r\n\r\n",
        b"0x0\r\n\r\n",
        b"\r\n\r\n",
        b"0\r\n",
        b"0\n\n",
        b"0\r\n\n",
        b"0\n\r\n",
    ):
        yield Case(f"last chunk {last!r}", post(CHUNKED, b"5\r\nhello\r\n" + last))
    for end in (b"", b"\r", b"\n", b"\r\r\n", b"\n\r", b"x\r\n", b"\x00\x00", b"  "):
        yield Case(f"end of a chunk {end!r}", post(CHUNKED, b"5\r\nhello" + end + b"0\r\n\r\n"))
    for step in (1, 2, 4):
        parts = [BODY[at : at + step] for at in range(0, len(BODY), step)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        yield Case(f"chunks of {step}", post(CHUNKED, chunks + b"0\r\n\r\n"))


def _lines() -> Iterator[Case]:
    for target in TARGETS:
        yield Case(f"target {target!r}", request(target=target))
    for method in METHODS:
        yield Case(f"method {method!r}", request(method=method))
    for method in (b"OPTIONS", b"HEAD", b"POST"):
        for target in (b"*", b"http://a.test", b"a.test:80", b"http://b.test/x"):
            yield Case(f"method {method!r} target {target!r}", request(method=method, target=target))
    for version in VERSIONS:
        yield Case(f"version {version!r}", request(version=version))


def _line_ends() -> Iterator[Case]:
    for separator in (b"  ", b"\t", b"\x0b", b"\x0c", b"\xa0", b"\r", b"\n", b"", b" \t", b"\x00"):
        yield Case(
            f"separator {separator!r} before the target",
            b"GET%b/ HTTP/1.1\r\n%b\r\n" % (separator, HOST) + NEXT,
        )
        yield Case(
            f"separator {separator!r} behind the target",
            b"GET /%bHTTP/1.1\r\n%b\r\n" % (separator, HOST) + NEXT,
        )
    for before in (
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\r\n ",
        b"\r\n" * 20,
    ):
        yield Case(f"before the line {before!r}", before + request())
    for sample_name, sample in (("plain", SAMPLE), ("chunked", CHUNKED_SAMPLE)):
        for number in range(sample.count(b"\r\n")):
            for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"", b"\x00\r\n", b" \r\n", b"\r\n "):
                parts = sample.split(b"\r\n")
                head, tail = b"\r\n".join(parts[: number + 1]), b"\r\n".join(parts[number + 1 :])
                yield Case(f"{sample_name}: line {number} ends with {end!r}", head + end + tail + NEXT)
    for length in range(5, len(SAMPLE), 7):
        yield Case(f"ends after {length}", SAMPLE[:length])
    for length in range(70, len(CHUNKED_SAMPLE), 3):
        yield Case(f"chunked ends after {length}", CHUNKED_SAMPLE[:length])


def _fields() -> Iterator[Case]:
    for octet in (*range(0x21), *range(0x7F, 0x82), 0x85, 0xA0, 0xAD, 0xFE, 0xFF):
        text = bytes((octet,))
        yield Case(f"value b{octet:02x}c", request(b"X-A: b" + text + b"c\r\n"))
        yield Case(f"value {octet:02x}b", request(b"X-A:" + text + b"b\r\n"))
        yield Case(f"value b{octet:02x}", request(b"X-A: b" + text + b"\r\n"))
    for octet in (*range(0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x81), 0xA0, 0xFF):
        text = bytes((octet,))
        yield Case(f"name a{octet:02x}b", request(b"A" + text + b"b: c\r\n"))
        yield Case(f"name {octet:02x}", request(text + b": c\r\n"))
        yield Case(f"name a{octet:02x}", request(b"A" + text + b": c\r\n"))
    for name in DOUBLES:
        yield Case(f"field {name!r}", request(name + b": v\r\n"))
    for name in SINGLES:
        yield Case(f"twice {name!r}", request(name + b": 1\r\n" + name + b": 2\r\n"))
        yield Case(
            f"twice {name!r} spelled otherwise", request(name + b": 1\r\n" + name.swapcase() + b": 2\r\n")
        )


def _meanings() -> Iterator[Case]:
    for host in HOSTS:
        yield Case(f"host {host!r}", request(host=b"Host: " + host + b"\r\n"))
        yield Case(
            f"host {host!r} and an absolute target",
            request(target=b"http://b.test/", host=b"Host: " + host + b"\r\n"),
        )
    for lines in HOST_LINES:
        yield Case(f"hosts {lines!r}", request(host=lines))
        yield Case(f"old hosts {lines!r}", request(host=lines, version=b"HTTP/1.0"))
    for value in CONNECTIONS:
        own = b"X-Own: 1\r\nAuthorization: s\r\nCookie: c\r\n"
        yield Case(f"connection {value!r}", request(b"Connection: " + value + b"\r\n" + own))
        yield Case(
            f"connection {value!r} of a body",
            post(b"Connection: " + value + b"\r\nContent-Length: 5\r\n" + own, BODY),
        )
        yield Case(
            f"connection {value!r} of chunks", post(b"Connection: " + value + b"\r\n" + CHUNKED + own, CHUNKS)
        )
        yield Case(
            f"old connection {value!r}", request(b"Connection: " + value + b"\r\n" + own, version=b"HTTP/1.0")
        )
    for value, version in itertools.product(EXPECTATIONS, (b"HTTP/1.1", b"HTTP/1.0")):
        lines = b"Expect: " + value + b"\r\nContent-Length: 5\r\n"
        yield Case(f"expect {value!r} {version.decode()}", request(lines, BODY, b"POST", version=version))
    for method, value in itertools.product(
        (b"OPTIONS", b"TRACE", b"GET"), (b"0", b"1", b"x", b"-1", b"00", b"1, 0")
    ):
        yield Case(
            f"forwards {value!r} of {method!r}", request(b"Max-Forwards: " + value + b"\r\n", method=method)
        )
    for value in (b"websocket", b"h2c", b"WebSocket, h2c", b"TLS/1.0", b""):
        lines = b"Connection: upgrade\r\nUpgrade: " + value + b"\r\n"
        yield Case(f"upgrade {value!r}", request(lines))
        yield Case(f"upgrade {value!r} with a body", request(lines + b"Content-Length: 5\r\n", BODY))
        yield Case(f"upgrade {value!r} with chunks", request(lines + CHUNKED, CHUNKS))


def _several() -> Iterator[Case]:
    sound = (
        ("get", request()),
        ("post", post(b"Content-Length: 5\r\n", BODY)),
        ("chunked", post(CHUNKED, CHUNKS)),
        ("head", request(method=b"HEAD")),
    )
    for (first, one), (second, two) in itertools.product(sound, repeat=2):
        yield Case(f"several {first} {second}", one + two)
    yield Case("several with close between", request(b"Connection: close\r\n") + request())
    yield Case("several empty lines between", request() + b"\r\n\r\n" + request())
    yield Case("many", request(target=b"/many") * 8)


REQUESTS = unique([*_framing(), *_chunks(), *_lines(), *_line_ends(), *_fields(), *_meanings(), *_several()])
"""All of them."""
