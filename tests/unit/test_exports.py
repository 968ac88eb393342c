"""The public surface of the package: one list, lazily imported, the same for people and for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pcs_gateway

REPOSITORY = Path(__file__).parents[2]

PUBLIC_NAMES = [
    "AlertRule",
    "GatewayError",
    "LeastConnectionsStrategy",
    "LeastTimeStrategy",
    "LoadBalancer",
    "LoadBalancingStrategy",
    "LoadTestConfig",
    "LoadTestMetrics",
    "LoadTestReport",
    "LoadTestSummary",
    "LoadTester",
    "NoHealthyInstances",
    "PCSInstance",
    "PCSRequest",
    "PerformanceMetrics",
    "PerformanceMonitor",
    "ResponseTimeMetrics",
    "RoundRobinStrategy",
    "ScalingConfig",
    "StrategyContext",
    "TestScenario",
    "TwoChoicesStrategy",
]


def run(program: str) -> str:
    """Run a program in a fresh interpreter and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def test_public_names_are_these() -> None:
    """Whoever adds or takes away a public name does so on purpose."""
    assert PUBLIC_NAMES == list(pcs_gateway.PUBLIC)
    assert {*PUBLIC_NAMES, "__version__"} == set(pcs_gateway.__all__)


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_each_name_is_what_its_module_defines(name: str) -> None:
    """A public name and the one in its module are the same object."""
    module = __import__(pcs_gateway.PUBLIC[name], fromlist=[name])

    assert getattr(module, name) is getattr(pcs_gateway, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Laziness changes nothing about names that do not exist."""
    with pytest.raises(AttributeError, match="'pcs_gateway' has no attribute 'Caddy'"):
        _ = pcs_gateway.Caddy  # type: ignore[attr-defined]


def test_the_names_are_listed() -> None:
    """`dir` shows them before they are used."""
    listed = run("import pcs_gateway; print(*dir(pcs_gateway))").split()

    assert set(PUBLIC_NAMES) <= set(listed)


def test_type_checkers_see_the_same_list() -> None:
    """The stub imports each name from the module that the table names."""
    stub = ast.parse((REPOSITORY / "pcs_gateway" / "__init__.pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]

    exported = next(
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    told = {alias.asname or alias.name: node.module for node in imports for alias in node.names}

    assert pcs_gateway.PUBLIC == told
    assert set(pcs_gateway.__all__) == set(exported)


def test_importing_the_package_imports_nothing_else() -> None:
    """Neither a worker nor the supervisor pays for names that it does not use."""
    program = "import sys; import pcs_gateway; print(*sys.modules)"
    loaded = run(program).split()
    ours = [name for name in loaded if name.startswith("pcs_gateway")]

    assert ["pcs_gateway"] == ours
    assert not {"aiohttp", "asyncio", "pydantic", "msgspec"} & set(loaded)


def test_strategies_come_without_aiohttp() -> None:
    """What a worker loads by a public name does not bring the control process' libraries."""
    program = (
        "import sys, pcs_gateway as p; p.LoadBalancer, p.RoundRobinStrategy; print('aiohttp' in sys.modules)"
    )

    assert "False" == run(program).strip()
