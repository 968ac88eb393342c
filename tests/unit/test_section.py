"""What every section is made of."""

from typing import Any

import pytest
from pydantic import ValidationError

from pcs_gateway.section import (
    Address,
    Boolean,
    FieldName,
    FieldValue,
    FromEnvironment,
    Integer,
    Method,
    Name,
    Number,
    Section,
    Text,
    UrlPath,
    split_address,
)


class Scalars(Section):
    """One of each."""

    text: Text = ""
    integer: Integer = 0
    number: Number = 0.0
    boolean: Boolean = False
    name: Name = "x"
    field_name: FieldName = "X"
    field_value: FieldValue = ""
    method: Method = "GET"
    path: UrlPath = "/"
    address: Address = "a:1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", 5),
        ("text", None),
        ("integer", "5"),
        ("integer", True),
        ("integer", 5.0),
        ("number", "0.5"),
        ("number", False),
        ("number", float("inf")),
        ("number", 10**400),
        ("boolean", 1),
        ("boolean", "true"),
        ("name", ""),
        ("name", "-x"),
        ("name", "a b"),
        ("name", "x" * 65),
        ("field_name", "a:b"),
        ("field_name", ""),
        ("field_value", "a\nb"),
        ("field_value", "a\x00"),
        ("field_value", "\u20ac"),
        ("method", "get"),
        ("method", "G T"),
        ("path", "a"),
        ("path", "/a b"),
        ("path", "/a#b"),
        ("address", "8080"),
        ("address", ":8080"),
        ("address", "a:65536"),
        ("address", "[::1:8080"),
        ("address", "[:::]:80"),
        ("address", "::1:80"),
    ],
)
def test_a_scalar_takes_nothing_but_its_own_type(field: str, value: object) -> None:
    """Nothing is converted silently, and the refusal does not repeat the value."""
    with pytest.raises(ValidationError) as caught:
        Scalars.model_validate({field: value})

    (error,) = caught.value.errors(include_input=False)
    assert (field,) == error["loc"]
    assert "value_error" == error["type"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("integer", "5", 5),
        ("integer", "-5", -5),
        ("number", "0.5", 0.5),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("text", "5", "5"),
        ("name", "a", "a"),
    ],
)
def test_text_from_the_environment_takes_the_type_of_its_field(field: str, text: str, value: object) -> None:
    """And leaves no trace of where it came from."""
    result: Any = getattr(Scalars.model_validate({field: FromEnvironment(text)}), field)

    assert value == result
    assert type(value) is type(result)


@pytest.mark.parametrize("text", ["", "five", "nan", "0x5", "1e999", "yes"])
@pytest.mark.parametrize("field", ["integer", "number", "boolean"])
def test_other_text_from_the_environment_is_refused(field: str, text: str) -> None:
    """It has to look like the type of its field."""
    with pytest.raises(ValidationError):
        Scalars.model_validate({field: FromEnvironment(text)})


def test_an_empty_section_has_its_defaults() -> None:
    """Nothing below a key is as good as no key."""
    assert Scalars() == Scalars.model_validate(None)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("0.0.0.0:8080", "0.0.0.0", 8080), ("[::1]:0", "::1", 0), ("localhost:1", "localhost", 1)],
)
def test_an_address_is_host_and_port(address: str, host: str, port: int) -> None:
    """Without the brackets of IPv6."""
    assert address == Scalars(address=address).address
    assert (host, port) == split_address(address)
