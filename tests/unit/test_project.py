"""What the files around the package promise: locks, declared dependencies, commands, import rules."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock", "requirements-fuzz.lock")
COMPANIONS = {"annotated-types": "pydantic", "pydantic-core": "pydantic"}
"""Distributions that another one pins and has its users import from."""
MODULES = sorted((REPOSITORY / "pcs_gateway").rglob("*.py"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TEST_FILES = sorted((REPOSITORY / "tests").rglob("test_*.py"))


def normalised(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """Read a lock: distribution → its version and how many hashes stand below it."""
    found: dict[str, tuple[str, int]] = {}
    name = ""
    for line in (REPOSITORY / lock).read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            name = normalised(pin[1])
            found[name] = (pin[2], 0)
        elif line.strip().startswith("--hash=sha256:"):
            version, hashes = found[name]
            found[name] = (version, hashes + 1)
    return found


def requirement_names(requirements: list[object]) -> set[str]:
    """Return the distributions that a list of requirements of pyproject.toml names."""
    names = (re.match(r"[A-Za-z0-9._-]+", item) for item in requirements if isinstance(item, str))
    return {normalised(name[0]) for name in names if name}


def imported_roots(path: Path) -> set[str]:
    """Return the top-level names that one file imports, wherever in it."""
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.partition(".")[0])
    return roots


def modules_after_importing(module: str) -> set[str]:
    """Import a module in a fresh interpreter and return the top-level names that came with it."""
    program = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(run.stdout.split())


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_lock_names_no_place(self, lock: str) -> None:
        """A lock holds no URL, host name or absolute path: it installs from any index."""
        text = (REPOSITORY / lock).read_text()

        places = re.findall(r"\S*(?:://|(?<![\w.])/\w+/|index-url|find-links)\S*", text)

        assert places == []

    @pytest.mark.parametrize("lock", LOCKS)
    def test_every_pin_has_a_hash(self, lock: str) -> None:
        """Nothing is installed that the lock does not know byte for byte."""
        unhashed = [name for name, (_, hashes) in pins(lock).items() if not hashes]

        assert pins(lock)
        assert unhashed == []

    @pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
    def test_development_lock_contains_the_others(self, lock: str) -> None:
        """`make demo` after `make test` changes no version, nor the other way round."""
        development = pins("requirements-dev.lock")

        assert {name: development.get(name) for name in pins(lock)} == pins(lock)

    def test_locks_hold_what_is_declared(self) -> None:
        """Every declared requirement is pinned in the lock that has to bring it."""
        groups = PROJECT["dependency-groups"]
        declared = requirement_names(PROJECT["project"]["dependencies"])

        assert declared <= pins("requirements.lock").keys()
        assert requirement_names(groups["build"]) == pins("requirements-build.lock").keys()
        assert requirement_names(groups["fuzz"]) <= pins("requirements-fuzz.lock").keys()
        assert requirement_names(groups["test"] + groups["dev"]) <= pins("requirements-dev.lock").keys()

    def test_build_group_repeats_the_build_system(self) -> None:
        """The pinned build backend is the one that [build-system] asks for."""
        assert PROJECT["build-system"]["requires"] == PROJECT["dependency-groups"]["build"]


class TestImports:
    def test_third_party_imports_are_declared(self) -> None:
        """The package imports no distribution that merely happens to be installed."""
        declared = requirement_names(PROJECT["project"]["dependencies"])
        declared |= {name for name, owner in COMPANIONS.items() if owner in declared}
        distributions = packages_distributions()
        own = {"pcs_gateway", *sys.stdlib_module_names}

        undeclared = {
            f"{path.relative_to(REPOSITORY)}: {root}"
            for path in MODULES
            for root in imported_roots(path) - own
            if not declared & {normalised(name) for name in distributions.get(root, [])}
        }

        assert undeclared == set()

    def test_worker_does_not_import_aiohttp(self) -> None:
        """A worker carries traffic; aiohttp belongs to the control process."""
        loaded = modules_after_importing("pcs_gateway.worker_process")

        assert "uvloop" in loaded
        assert "aiohttp" not in loaded

    def test_supervisor_imports_the_standard_library_only(self) -> None:
        """Nothing third-party can break the process that replaces the others."""
        loaded = modules_after_importing("pcs_gateway.processes.supervisor")
        bare = modules_after_importing("sys")  # what the interpreter's own start brings along

        assert loaded - bare - sys.stdlib_module_names == {"pcs_gateway"}


class TestCommands:
    TARGETS = frozenset(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))

    def test_readme_and_makefile_agree(self) -> None:
        """Every `make` command in the README and the documentation exists."""
        named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}

        assert {"demo", "test"} <= named
        assert named <= self.TARGETS

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_links_lead_somewhere(self, page: Path) -> None:
        """A link to a page or file of the repository finds it."""
        links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())

        assert [] == [link for link in links if not (page.parent / link).exists()]

    def test_continuous_integration_runs_what_a_developer_runs(self) -> None:
        """`.ci/run` knows no command of its own and lets no test skip."""
        lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
        commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd ", "export "))]

        assert commands == ["make system-packages", "make check", "make test"]
        assert "export PCS_GATEWAY_REQUIRE_SERVERS=1" in lines

    def test_help_names_every_command(self) -> None:
        """`make` alone lists the commands."""
        listed = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

        assert self.TARGETS == set(re.findall(r"make ([a-z-]+)", listed))

    def test_wrong_kind_of_environment_is_refused(self) -> None:
        """The installer says what it was given and what it takes."""
        run = subprocess.run(
            [REPOSITORY / "scripts" / "environment", "other"], capture_output=True, text=True, check=False
        )

        assert run.returncode == 2
        assert "found other, allowed are runtime, development and fuzz" in run.stderr


class TestHabits:
    @pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
    def test_every_test_says_what_it_states(self, path: Path) -> None:
        """A test has a docstring, wherever it stands."""
        silent = [
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ]

        assert silent == []

    @pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
    def test_module_is_short_enough_to_be_read(self, path: Path) -> None:
        """A module stops at 400 lines: one noun each."""
        assert len(path.read_text().splitlines()) <= 400
