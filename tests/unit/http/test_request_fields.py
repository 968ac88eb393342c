"""Reading field sections one after another with one parser."""

import pytest

from pcs_gateway.http.request_fields import SectionParser

SECTIONS = [
    b"Host: a\r\nConnection: close\r\n",
    b"Host: a\r\nCONNECTION: CLOSE\r\n",
    b"Host: a\r\nConnection: upgrade, Close\r\nUpgrade: websocket\r\n",
    b"Host: a\r\nContent-Length: 3\r\n",
    b"Host: a\r\nTransfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
]


@pytest.mark.parametrize("first", SECTIONS)
@pytest.mark.parametrize("second", SECTIONS)
def test_no_section_depends_on_the_one_before(first: bytes, second: bytes) -> None:
    """Whatever a section says of its connection or its body, the next one is read as if it were the first."""
    parser, fresh = SectionParser(), SectionParser()

    parser.parse(first)

    assert fresh.parse(second) == parser.parse(second)
