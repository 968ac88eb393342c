"""What fuzzing found stays found, and nothing depends on the pieces in which bytes come."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.corpus.cases import Case
from tests.corpus.requests import REQUESTS
from tests.corpus.responses import RESPONSES
from tests.fuzz.conversation import Conversation
from tests.fuzz.seeds import found, seeds
from tests.fuzz.targets import TARGETS, connection, request_head, response, response_head

FRAGMENTS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"\x00", b"\x0b", b"\x80", b"\xff",
    b'"', b"\\", b"%", b"#", b"0", b"5", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Host: b\r\n", b"Connection: close\r\n", b"Connection: x\r\n", b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n", b"Max-Forwards: 0\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.1",
    b"HTTP/1.0", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 X\r\n\r\n", b"chunked", b"close",
)  # fmt: skip

edits = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 12), st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4))
    ),
    max_size=4,
)
steps = st.integers(0, 255).map(lambda step: bytes((step,)))


def mutate(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace some bytes at some places by others."""
    for place, removed, inserted in changes:
        at = place % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    return data


@pytest.mark.parametrize("target", TARGETS)
def test_found_cases_hold(target: str) -> None:
    """What broke a target once does not break it again."""
    for data in found(target):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_hold_for_the_corpus(target: str) -> None:
    """Each target takes the corpus as it is."""
    for data in seeds(target):
        TARGETS[target](data)


@settings(max_examples=400, deadline=None)
@given(steps, st.sampled_from(REQUESTS), edits)
@example(b"\x00", REQUESTS[0], [])
def test_mutated_requests_do_not_depend_on_their_pieces(
    step: bytes, case: Case, changes: list[tuple[int, int, bytes]]
) -> None:
    """Requests changed here and there: the same reaches the backend, and every parser reads it alike."""
    data = mutate(case.data, changes)
    connection(step + data)
    request_head(step + data.partition(b"\r\n\r\n")[0] + b"\r\n")


@settings(max_examples=400, deadline=None)
@given(steps, st.sampled_from(RESPONSES), edits)
def test_mutated_responses_do_not_depend_on_their_pieces(
    step: bytes, case: Case, changes: list[tuple[int, int, bytes]]
) -> None:
    """Responses that were changed here and there: the client gets the same."""
    data = mutate(case.data, changes)
    response(step + data)
    response_head(step + data.partition(b"\r\n\r\n")[0] + b"\r\n")


@pytest.mark.parametrize("number", range(0, len(REQUESTS), 97))
def test_requests_cut_at_every_boundary(number: int) -> None:
    """A request in two pieces, cut anywhere, is the request in one piece."""
    data = REQUESTS[number].data
    conversation = Conversation()
    forwarded, answers = conversation.requests([data])
    for at in range(1, len(data)):
        in_two, answers_in_two = conversation.requests([data[:at], data[at:]])

        assert [head_of(one) for one in forwarded] == [head_of(one) for one in in_two]
        assert answers.count(b"HTTP/1.1 200 OK") == answers_in_two.count(b"HTTP/1.1 200 OK")


def head_of(stream: bytes) -> bytes:
    """Give the head of a request; a chunked body may come in other chunks."""
    return stream.partition(b"\r\n\r\n")[0]
