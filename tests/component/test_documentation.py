"""
The examples of docs/operations.md, run as they stand against a gateway of real processes.

A block of the kind `console` is a terminal: lines with "$ " are commands, those below are the answer. In an
answer … stands for anything, a line of its own for any number of lines.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.fakes.processes.gateway import REPOSITORY
from tests.fakes.processes.whole import WholeGateway, instances

PAGE = (REPOSITORY / "docs" / "operations.md").read_text()
NAMES = ("one", "two", "three")
ADMIN = "127.0.0.1:9901"
TRAFFIC = "127.0.0.1:8080"
"""Where the page says that the gateway is."""


class Example(NamedTuple):
    """A command, and what it answers."""

    command: str
    answer: str


def examples(page: str) -> list[Example]:
    """Return the commands of all terminals of a page."""
    found: list[Example] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            found.append(Example(command, answer))
    return found


def is_answer(expected: str, actual: str) -> bool:
    """Whether an answer is the expected one, … standing for anything."""
    pattern = re.escape(expected.strip()).replace("…", ".*")
    return re.fullmatch(pattern, actual.strip(), re.DOTALL) is not None


class Terminal:
    """
    Runs commands in the directory in which `config/gateway.yaml` is.

    `curl` is understood here, since it is not on every machine: -s, -X and -d are.
    """

    def __init__(self, directory: Path, gateway: WholeGateway) -> None:
        self._directory = directory
        self._admin = gateway.listeners()["admin"]

    def run(self, command: str) -> str:
        """Run a command and return all that it writes, with the page's addresses."""
        program, *arguments = shlex.split(command.replace(ADMIN, self._admin))
        answer = self._curl(arguments) if program == "curl" else self._call(program, arguments)
        return answer.replace(self._admin, ADMIN)

    def _call(self, program: str, arguments: list[str]) -> str:
        assert program == "pcs-gateway"
        return subprocess.run(
            [sys.executable, "-P", "-m", "pcs_gateway", *arguments],
            cwd=self._directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=30,
        ).stdout

    def _curl(self, arguments: list[str]) -> str:
        method, body, url = "GET", None, ""
        rest = iter(arguments)
        for argument in rest:
            if argument == "-X":
                method = next(rest)
            elif argument == "-d":
                body = next(rest)
            elif argument != "-s":
                url = argument
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeGateway]:
    """A gateway with two workers in front of one, two and three."""
    directory = tmp_path_factory.mktemp("operations") / "config"
    directory.mkdir()
    with instances(len(NAMES)) as behind:
        backends = [{"url": one.url, "name": name} for one, name in zip(behind, NAMES, strict=True)]
        running = WholeGateway(directory, {"workers": 2, "pools": {"pcs": {"backends": backends}}})
        try:
            running.wait_until_ready(2, len(NAMES))
            yield running
        finally:
            running.stop()


def test_every_command_answers_as_the_page_says(gateway: WholeGateway) -> None:
    """What an operator copies from the page does what stands below it."""
    terminal = Terminal(gateway.file.parents[1], gateway)
    shown = examples(PAGE)

    answers = [(example.command, example.answer, terminal.run(example.command)) for example in shown]

    assert len(shown) > 15
    assert [] == [each for each in answers if not is_answer(each[1], each[2])]


def test_the_program_runs(gateway: WholeGateway) -> None:
    """The load test of the page runs as it stands and finds no error."""
    [program] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

    run = subprocess.run(
        [sys.executable, "-P", "-c", program.replace(TRAFFIC, gateway.address)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    requests, error_rate, p95 = run.stdout.splitlines()[0].split()
    assert int(requests) > 100
    assert float(error_rate) == 0.0
    assert float(p95) > 0.0


class TestReading:
    """The reader of examples can fail."""

    def test_commands_and_answers(self) -> None:
        """Only blocks of the kind console are read, command by command."""
        page = "```sh\n$ no\n```\n\n```console\n$ a b\none\n$ c\n```\n"

        assert [Example("a b", "one\n"), Example("c", "")] == examples(page)

    @pytest.mark.parametrize(
        ("expected", "actual", "same"),
        [
            ("all well\n", "all well", True),
            ("all well", "all is well", False),
            ('{"a":1,…}', '{"a":1,"b":2}', True),
            ('{"a":1,…}', '{"a":2,"b":2}', False),
            ("first\n…\n", "first\nsecond\nthird\n", True),
            ("first", "first\nsecond", False),
        ],
    )
    def test_answers(self, expected: str, actual: str, same: bool) -> None:
        """An ellipsis stands for anything, all else for itself."""
        assert same is is_answer(expected, actual)
