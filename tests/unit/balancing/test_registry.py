"""Strategies by name, and the one that the documentation shows."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from pcs_gateway.balancing import STRATEGIES, LoadBalancer, StrategyContext, find_strategy
from tests.fakes.members import make_members

DOCUMENT = Path(__file__).parents[3] / "docs" / "strategies.md"


def documented(language: str) -> str:
    """Give the code block of the document in this language."""
    match = re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


class TestFindStrategy:
    """Names of the configuration."""

    @pytest.mark.parametrize("name", sorted(STRATEGIES))
    def test_table_is_found(self, name: str) -> None:
        """Every name of the table gives its class."""
        assert STRATEGIES[name] is find_strategy(name)

    def test_unknown_name_lists_the_known(self) -> None:
        """The error tells what there is."""
        with pytest.raises(LookupError, match="least_connections"):
            find_strategy("fastest_of_all")

    def test_documented_strategy_works_as_installed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The package that docs/strategies.md shows is found by its entry point and balances."""
        project = tomllib.loads(documented("toml"))["project"]
        (tmp_path / "first_ready.py").write_text(documented("python"), encoding="utf-8")
        installed = tmp_path / "first_ready-1.0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: first-ready\nVersion: 1.0\n")
        group = "pcs_gateway.strategies"
        lines = [f"{name} = {value}" for name, value in project["entry-points"][group].items()]
        (installed / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

        strategy = find_strategy("first_ready")(StrategyContext(lambda: 0, None))  # type: ignore[arg-type]
        members = make_members(1, 1, 1)
        balancer = LoadBalancer("pool", strategy, 2)
        balancer.replace(members, 2)
        for _ in range(3):
            balancer.route_request(None, 0.0)
        sys.modules.pop("first_ready", None)

        assert [2, 1, 0] == [member.in_flight for member in members]
        assert len(documented("python").splitlines()) <= 20
