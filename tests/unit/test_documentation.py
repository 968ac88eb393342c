"""What the pages of docs/ say of the code is what the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pcs_gateway.cli.main import VERBS
from pcs_gateway.config.loading import load
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.control.admin.orders import PARAMETERS
from pcs_gateway.http.refusals import Refusal

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
ATTENTION = {"warning", "error", "exception"}
"""Methods of a log whose events an operator should know."""

REPORTED = {"configuration_rejected", "configuration_incomplete"}
"""Events that are named by the result of a reload (`Reloader._tell`)."""


def table(page: str, first_column: str) -> list[list[str]]:
    """Return the rows of the table whose head begins with this cell, each cell as it stands."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def code(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def logged_events() -> Iterator[str]:
    """Yield the names of all warnings and errors that the package logs."""
    for path in (REPOSITORY / "pcs_gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ATTENTION
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and "log" in ast.unparse(node.func.value).lower()
            ):
                yield str(node.args[0].value)


def headings(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


class TestOperations:
    def test_every_reason_is_explained(self) -> None:
        """The table has each reason once, in order, with the status and the error that clients are told."""
        rows = table(OPERATIONS, "Reason")

        told = [(code(reason)[0], status, code(error)[0]) for reason, status, error, _ in rows]

        assert [(one.reason, str(one.status or "–"), one.proxy_error) for one in Refusal] == told
        assert [] == [row[0] for row in rows if not row[3]]

    def test_every_warning_and_error_is_explained(self) -> None:
        """Who reads the log finds what to do; no event is told that does not exist."""
        told = {name for row in table(OPERATIONS, "Event") for name in code(row[0])}

        assert {*logged_events(), *REPORTED} == told

    def test_every_command_is_listed(self) -> None:
        """The table of commands is the table of verbs."""
        listed = [code(row[0])[0].split()[0] for row in table(OPERATIONS, "Command")]

        assert sorted(VERBS) == sorted(listed)

    def test_every_order_is_listed(self) -> None:
        """Each action on a backend stands among the requests of the admin API."""
        requests = " ".join(row[0] for row in table(OPERATIONS, "Request"))

        assert [] == [action for action in PARAMETERS if f"/{action}" not in requests]

    def test_every_section_of_the_configuration_says_how_it_changes(self) -> None:
        """A reader finds what a reload does with each key."""
        told = {name.split(".")[0] for row in table(OPERATIONS, "Key") for name in code(row[0])}
        without_effect = {"cache", "alerts", "scaling"}

        assert set(GatewayConfig.model_fields) - without_effect == told


class TestReadme:
    def test_its_configuration_is_complete(self, tmp_path: Path) -> None:
        """The file that the README shows is one that the gateway takes."""
        [example] = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
        file = tmp_path / "gateway.yaml"
        file.write_text(example)

        assert 2 == len(load(file, {}).config.pools["pcs"].backends)

    def test_it_is_one_page(self) -> None:
        """What does not fit has a page of its own."""
        assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 130


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_anchors_exist(self, page: Path) -> None:
        """A link to a heading finds that heading."""
        links = re.findall(r"\]\(([\w.-]*\.md)?#([\w-]+)\)", page.read_text())
        text = {name: (page.parent / name if name else page).read_text() for name, _ in links}

        assert [] == [link for link in links if link[1] not in headings(text[link[0]])]

    def test_the_index_leads_to_every_page(self) -> None:
        """No page is hidden, none is named twice."""
        linked = re.findall(r"\]\(([\w.-]+\.md)\)", (DOCS / "index.md").read_text())

        assert sorted({page.name for page in DOCS.glob("*.md")} - {"index.md"}) == sorted(linked)
