"""What the gateway makes of the corpus: nothing that two parsers could read in two ways."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.corpus.differences import DIFFERENCES, Difference
from tests.corpus.differential import (
    EXPECTATIONS,
    Forwarded,
    difference,
    forwarded_requests,
    load_expectations,
)
from tests.corpus.parsers import Reading, agreed, read_requests, read_responses
from tests.corpus.requests import REQUESTS
from tests.corpus.responses import RESPONSES
from tests.corpus.running import Outcome, answer_and_close, run_requests, run_responses
from tests.fakes.backend import ScriptedBackend
from tests.fakes.gateway import Gateway, one_pool

POOL = {"retry": {"attempts": 0}, "outlier_detection": {"consecutive_failures": 0}}


async def outcomes_of_requests() -> dict[str, Outcome]:
    """Send all requests through one gateway."""
    async with (
        ScriptedBackend(answer_and_close) as backend,
        Gateway(one_pool(backend.url, pool=POOL)) as gateway,
    ):
        return await run_requests(gateway.port, backend, REQUESTS)


async def test_requests_mean_one_thing() -> None:
    """
    Each connection to the backend holds one request, the same for every parser; the client gets all answers.

    As many of the backend's answers reach the client as requests reached the backend.
    """
    wrong: dict[str, dict[str, Reading]] = {}
    methods = {case.name: ["HEAD" if b"HEAD" in case.data else "GET"] * 20 for case in REQUESTS}
    for name, outcome in (await outcomes_of_requests()).items():
        for stream in outcome.forwarded:
            readings = read_requests(stream)
            messages = agreed(readings)
            if messages is None or len(messages) != 1:
                wrong[f"{name} to the backend"] = readings
        if methods[name][0] == "GET":
            readings = read_responses(outcome.answers, methods[name])
            answers = agreed(readings)
            passed = [answer for answer in answers or () if answer.body == b"ok"]
            if answers is None or len(passed) != len(outcome.forwarded):
                wrong[f"{name} to the client"] = readings

    assert {} == wrong


async def test_responses_mean_one_thing() -> None:
    """The client gets one final response, the same for every parser, or sees that it is incomplete."""
    async with (
        ScriptedBackend(answer_and_close) as backend,
        Gateway(one_pool(backend.url, pool=POOL)) as gateway,
    ):
        outcomes = await run_responses(gateway.port, backend, RESPONSES)
        incomplete = gateway.delta.reasons.get("response_incomplete", 0)
    methods = {case.name: case.method for case in RESPONSES}
    wrong: dict[str, dict[str, Reading]] = {}
    cut = 0
    for name, outcome in outcomes.items():
        readings = read_responses(outcome.answers, [methods[name]])
        messages = agreed(readings)
        if messages is None and all(isinstance(reading, str) for reading in readings.values()):
            cut += 1
        elif messages is None or len([m for m in messages if int(m.start[0]) >= 200]) != 1:
            wrong[name] = readings

    assert {} == wrong
    assert incomplete == cut


class TestDifferencesFromNginx:
    """Method, target, body and end-to-end fields are those that nginx forwards, but for a reviewed list."""

    @staticmethod
    @cache
    def expectations() -> dict[str, Forwarded]:
        """What nginx forwarded of each case."""
        return load_expectations()

    async def test_every_difference_is_on_the_list(self) -> None:
        """A difference that nobody has reviewed fails here, with what each of the two forwards."""
        outcomes = await outcomes_of_requests()
        ours = {name: forwarded_requests(outcome) for name, outcome in outcomes.items()}
        theirs = self.expectations()
        unknown = {}
        unused = set(DIFFERENCES)
        for name, forwarded in ours.items():
            kind = difference(forwarded, theirs[name])
            matching = {d for d in DIFFERENCES if kind and d.covers(name, kind)}
            unused -= matching
            if kind and not matching:
                unknown[name] = (kind, forwarded, theirs[name])

        assert {} == unknown
        assert set() == unused

    def test_expectations_are_those_of_this_corpus(self) -> None:
        """They are taken anew with `python -m tests.corpus.differential` when the corpus changes."""
        assert {case.name for case in REQUESTS} == set(self.expectations())
        assert EXPECTATIONS.read_text("utf-8").count("\n") == len(REQUESTS)

    @pytest.mark.parametrize("entry", DIFFERENCES, ids=lambda entry: f"{entry.kind} {entry.names}")
    def test_every_entry_says_why(self, entry: Difference) -> None:
        """An entry of the list names its section and its reason."""
        assert re.fullmatch(r"([0-9]{4} )?[0-9C]+(\.[0-9]+)*", entry.section)
        assert entry.why
