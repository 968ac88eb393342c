"""docs/specification.md is true: every name of the specification is there, and what is called built is."""

from __future__ import annotations

import re
import typing
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
import pytest
from pydantic import BaseModel, Field

import pcs_gateway
from pcs_gateway.errors import NoHealthyInstances

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "specification.md").read_text()
NAMES_FILE = REPOSITORY / "tests" / "data" / "specification_names.txt"
NAMES = [line for line in NAMES_FILE.read_text().splitlines() if line and not line.startswith("#")]
STATES = {"built", "replaced", "not built yet"}
COLUMNS_OF_POSTGRESQL = {"pg_stat_user_indexes"}
INNER_CLASSES = {"TestRunner"}
"""What the load tester makes for itself; nobody else has a use for it."""


class Row(NamedTuple):
    """A row of the tables, each cell without its backquotes."""

    specified: str
    here: str
    file: str
    state: str
    note: str

    @property
    def module(self) -> str:
        """The module of the file."""
        return "pcs_gateway." + self.file.removesuffix(".py").replace("/", ".")


def rows(page: str = PAGE) -> list[Row]:
    """Read all tables of the page."""
    cells = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `")]
    return [Row(*(cell.strip().strip("`") for cell in line)) for line in cells]


def importable() -> list[Row]:
    """Return the rows that name something that is there."""
    return [row for row in rows() if row.state in {"built", "replaced"}]


def snake_case(name: str) -> str:
    """Turn `targetCPUUtilization` into `target_cpu_utilization`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def member(owner: Any, name: str) -> Any:
    """Return a member of a class: a field's type, a property's type, or the member itself."""
    if isinstance(owner, type):
        hints = get_type_hints(owner)
        if name in hints:
            return hints[name]
        found = getattr(owner, name, None)
        if isinstance(found, property):
            return get_type_hints(found.fget)["return"]
        if found is None and name not in getattr(owner, "__slots__", ()):
            raise AttributeError(f"{owner.__name__} has no member {name!r}")
        return found
    raise AttributeError(f"{owner!r} is no class, so it has no member {name!r}")


def resolve(module: str, qualified_name: str) -> Any:
    """Import a name: a class or function of a module, then members of members."""
    first, *rest = qualified_name.split(".")
    found = getattr(import_module(module), first)
    for name in rest:
        found = member(found, name)
    return found


def values_of(kind: Any) -> set[object]:
    """Return the values that a literal type or an enumeration allows."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {one.value for one in kind}
    if get_origin(kind) is typing.Annotated:
        return values_of(get_args(kind)[0])
    return set(get_args(kind)) if get_origin(kind) is Literal else set()


class TestThePage:
    def test_every_name_of_the_specification_has_one_row(self) -> None:
        """Nothing is left out, nothing is told twice, nothing is invented."""
        assert sorted(NAMES) == sorted(row.specified for row in rows())

    def test_every_row_has_a_state(self) -> None:
        """There are three states."""
        assert STATES == {row.state for row in rows()}

    def test_replacements_say_why(self) -> None:
        """What has another shape than specified has a reason."""
        assert [] == [row.specified for row in rows() if row.state == "replaced" and not row.note]

    @pytest.mark.parametrize("row", [row for row in rows() if row.state != "replaced"], ids=lambda r: r[0])
    def test_names_stay_as_specified(self, row: Row) -> None:
        """Classes keep their names, members are in snake_case; values stay, or say why they moved."""
        path, *value = re.split(r" = | (?=\")", row.specified)
        first, *rest = path.split(".")
        here, *value_here = row.here.split(" = ")
        owner_and_name = ".".join([first, *map(snake_case, rest)])

        keeps_name = f"{owner_and_name}.".startswith(f"{here}.") or first in COLUMNS_OF_POSTGRESQL
        assert keeps_name or (value and row.note)
        assert not value_here or [value[0].strip("'")] == [value_here[0].strip('"')]


class TestWhatIsBuilt:
    @pytest.mark.parametrize("row", importable(), ids=lambda row: row.specified)
    def test_it_can_be_imported(self, row: Row) -> None:
        """The name exists in the file, down to the field; a literal value is among those allowed."""
        name, _, value = row.here.partition(" = ")

        found = resolve(row.module, name)

        assert (REPOSITORY / "pcs_gateway" / row.file).is_file()
        if value:
            assert value.strip('"') in values_of(found)

    @pytest.mark.parametrize(
        "row", [row for row in rows() if row.state == "not built yet"], ids=lambda r: r[0]
    )
    def test_what_is_not_built_is_not_there(self, row: Row) -> None:
        """Whoever builds it says so on the page."""
        assert not (REPOSITORY / "pcs_gateway" / row.file).exists()

    def test_public_classes_of_the_specification_are_public(self) -> None:
        """A class that is built can be imported from the package itself."""
        classes = {
            row.here for row in rows() if row.state == "built" and re.fullmatch(r"[A-Za-z]+", row.here)
        }

        assert classes - INNER_CLASSES <= set(pcs_gateway.PUBLIC)

    def test_message_without_instances_is_the_specified_one(self) -> None:
        """The text stands in the specification."""
        assert "No healthy instances available" == str(NoHealthyInstances("pcs"))


class TestTheHelpers:
    """The readers above can fail."""

    class Model(BaseModel):
        """A model."""

        color: Literal["red", "blue"] = Field(default="red")

    class Struct(msgspec.Struct):
        """A struct with a struct."""

        size: int = 0

    @pytest.mark.parametrize(
        ("camel", "snake"),
        [
            ("targetRPS", "target_rps"),
            ("targetCPUUtilization", "target_cpu_utilization"),
            ("diskIO", "disk_io"),
            ("p95ResponseTime", "p95_response_time"),
            ("l1Cache", "l1_cache"),
            ("idx_scan", "idx_scan"),
        ],
    )
    def test_snake_case(self, camel: str, snake: str) -> None:
        """Abbreviations are one word."""
        assert snake == snake_case(camel)

    def test_a_missing_field_is_found_missing(self) -> None:
        """Neither models nor structs have members by accident."""
        assert int is member(self.Struct, "size")
        for owner in (self.Model, self.Struct):
            with pytest.raises(AttributeError):
                member(owner, "shape")

    def test_a_missing_module_is_found_missing(self) -> None:
        """A wrong file or a wrong name fails."""
        with pytest.raises(ModuleNotFoundError):
            resolve("pcs_gateway.telemetry.absent", "Absent")
        with pytest.raises(AttributeError):
            resolve("pcs_gateway.telemetry.metrics", "Absent")

    def test_values(self) -> None:
        """Only listed values are allowed."""
        assert {"red", "blue"} == values_of(member(self.Model, "color"))
        assert set() == values_of(int)
