"""Every number of the configuration is read by our rules, and none is too large for where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BeforeValidator, TypeAdapter, ValidationError

from pcs_gateway.config.references import Path, path_text
from pcs_gateway.config.schema import ROOT, Kind, allowed, kind_of, unwrapped
from pcs_gateway.units import UNITS_REQUIRED
from tests.unit.config.reading import only

HUGE = 10**400
"""More than a float holds."""
TOO_LARGE = 2**63
"""For a cell of the scoreboard."""


def scalars(path: Path, kind: Kind) -> Iterator[tuple[Path, Kind]]:
    """Yield every value that has no members, with where it stands."""
    arguments = get_args(kind.annotation)
    if kind.section is not None:
        for name, field in kind.section.model_fields.items():
            yield from scalars((*path, name), kind_of(field))
    elif get_origin(kind.annotation) is dict:
        if arguments[1] is not Any:
            yield from scalars((*path, "NAME"), unwrapped(arguments[1]))
    elif get_origin(kind.annotation) is tuple:
        yield from scalars((*path, 0), unwrapped(arguments[0]))
    else:
        yield path, kind


SCALARS = {path_text(path): kind for path, kind in scalars((), ROOT)}
NUMBERS = [path for path, kind in SCALARS.items() if kind.annotation in {int, float}]
INTEGERS = [path for path in NUMBERS if SCALARS[path].annotation is int]


def is_refused(path: str, value: Any) -> bool:
    """Validate a value as if a file had it there; whatever else is raised is raised."""
    kind = SCALARS[path]
    annotation: Any = Annotated[kind.annotation, *kind.metadata, None]
    try:
        TypeAdapter(annotation).validate_python(value, context={UNITS_REQUIRED: True})
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("path", NUMBERS)
def test_number_is_read_by_our_rules(path: str) -> None:
    """Not by the library's, which takes true for 1, and says what is allowed in its own words."""
    assert any(isinstance(one, BeforeValidator) for one in SCALARS[path].metadata)
    assert not allowed(SCALARS[path]).startswith(",")
    assert is_refused(path, True)


@pytest.mark.parametrize("path", SCALARS)
def test_huge_number_is_refused(path: str) -> None:
    """As a problem of the file, wherever it stands."""
    assert is_refused(path, HUGE)


@pytest.mark.parametrize("path", INTEGERS)
def test_whole_number_is_bounded(path: str) -> None:
    """By what a cell of eight bytes holds, at most."""
    assert is_refused(path, TOO_LARGE)


@pytest.mark.parametrize("value", [str(2**64), str(HUGE), "-1" + "0" * 19, ".nan", ".inf"])
def test_numbers_of_free_members_are_bounded_too(tmp_path: FilePath, value: str) -> None:
    """Workers could not be told them, and no answer has them."""
    check = f"health_check: {{path: /, expect_json: {{a: {{b: [1, {value}]}}}}}}"

    problem = only(tmp_path, f"pools: {{pcs: {{backends: [{{url: 'http://a:1'}}], {check}}}}}")

    assert "pools.pcs.health_check.expect_json" == problem.path
    assert problem.allowed.startswith("members as JSON has them")
