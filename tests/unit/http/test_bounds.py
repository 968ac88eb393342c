"""What strangers send again and again costs bounded memory, and what is malformed bounded time."""

import time

import pytest

from pcs_gateway.http.fields import _sound_hosts, diagnose, is_valid_host
from pcs_gateway.http.memo import Memo
from pcs_gateway.http.refusals import Refusal
from pcs_gateway.http.request_fields import MEMO_SECTION_BYTES, RequestFieldsReader
from pcs_gateway.http.request_kinds import LONGEST_SPELLING, Spellings

HOST = b"Host: a.test\r\n"


def test_long_sections_are_not_kept() -> None:
    """A section that is longer than usual is read anew each time, however often it comes."""
    reader = RequestFieldsReader(b"x-request-id", 100)
    usual = HOST + b"X-A: a\r\n"
    long = HOST + b"X-A: %b\r\n" % (b"a" * MEMO_SECTION_BYTES)
    for section in (usual, long) * 3:
        assert reader.known[section].host == b"a.test"

    assert list(reader.known) == [usual]


def test_memo_asks_only_for_keys_that_come_again() -> None:
    """A key that comes once is not even measured."""
    asked: list[bytes] = []

    def may_keep(key: bytes) -> bool:
        asked.append(key)
        return key != b"large"

    memo = Memo(len, 4, may_keep)
    for key in (b"once", b"twice", b"twice", b"twice", b"large", b"large"):
        memo[key]

    assert asked == [b"twice", b"large"]
    assert dict(memo) == {b"twice": 5}


def test_long_names_are_not_kept() -> None:
    """Neither a field name nor a host is remembered that is longer than real ones."""
    spellings = Spellings(b"x-request-id")
    host = b"h" * 1000
    assert not spellings[b"x" * (LONGEST_SPELLING + 1)]
    assert spellings[b"Host"]
    assert is_valid_host(host)

    assert list(spellings) == [b"Host"]
    assert host not in _sound_hosts


@pytest.mark.parametrize("name", [b"Transfer-Encoding", b"Content-Length", b"X"])
def test_diagnosis_takes_linear_time(name: bytes) -> None:
    """Many lines that each could begin what is wrong are looked through once, not once for each."""
    section = (name + b": a\r\n") * 20_000
    before = time.process_time()
    diagnose(section)

    assert time.process_time() - before < 1.0


@pytest.mark.parametrize(
    ("section", "refusal"),
    [
        (b"Transfer-Encoding: a\r\nX: 1\r\nCONTENT-LENGTH: 1\r\n", Refusal.LENGTH_AND_TRANSFER_ENCODING),
        (b"content-length: 1\r\nX: 1\r\nTransfer-Encoding: a\r\n", Refusal.LENGTH_AND_TRANSFER_ENCODING),
        (b"X: 1\r\nTransfer-Encoding: a\r\n", Refusal.UNSUPPORTED_TRANSFER_CODING),
        (b"X: 1\r\nContent-Length: a\r\n", Refusal.MALFORMED_CONTENT_LENGTH),
        (b"X-Content-Length: a\r\n", Refusal.MALFORMED_FIELD),
    ],
)
def test_diagnosis_of_framing(section: bytes, refusal: Refusal) -> None:
    """What is wrong with the framing is named, in whatever order its fields come."""
    assert diagnose(section) is refusal
