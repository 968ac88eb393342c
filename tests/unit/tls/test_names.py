"""Names in certificates."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.tls.names import SERVER_NAME, NameTable, written_subject

TABLE = NameTable(
    [("a.example", 1), ("*.example", 2), ("*.a.example", 3), ("A.EXAMPLE", 4), ("Trailing.Example.", 5)], 0
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.example", 1),
        ("A.Example", 1),
        ("a.example.", 1),
        ("b.example", 2),
        ("b.a.example", 3),
        ("c.b.a.example", 0),
        ("example", 0),
        ("trailing.example", 5),
        ("", 0),
        (None, 0),
        (".", 0),
    ],
)
def test_a_name_finds_what_belongs_to_it(name: str | None, found: int) -> None:
    """The name itself, then a wildcard for exactly one label, else the default; the first of equals."""
    assert found == TABLE.find(name)


@given(st.text(max_size=40))
def test_any_name_finds_something(name: str) -> None:
    """What a client sends breaks nothing."""
    assert TABLE.find(name) in range(6)


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ((), ""),
        (((("commonName", "alice"),),), "CN=alice"),
        (
            ((("countryName", "DE"),), (("organizationName", "Example"),), (("commonName", "alice"),)),
            "CN=alice,O=Example,C=DE",
        ),
        (((("commonName", "a"), ("userId", "7")),), "CN=a+UID=7"),
        (((("emailAddress", "a@b"),),), "emailAddress=a@b"),
        (((("commonName", 'a,b+c"d\\e<f>;'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>\\;'),
        (((("commonName", " a b "),),), "CN=\\ a b\\ "),
        (((("commonName", "#a#"),),), "CN=\\#a#"),
        (((("commonName", "a\r\nX: y\0"),),), "CN=a\\0D\\0AX: y\\00"),
        (((("commonName", "Jürgen"),),), "CN=J\\C3\\BCrgen"),
    ],
)
def test_a_subject_is_written_as_rfc_4514_says(
    subject: tuple[tuple[tuple[str, str], ...], ...], written: str
) -> None:
    """The most specific part first, everything that could be misread escaped."""
    assert written == written_subject(subject)


@given(st.lists(st.text(max_size=20), max_size=4))
def test_a_subject_is_always_one_printable_line(values: list[str]) -> None:
    """It stands in a header field, and its parts cannot be mistaken for each other."""
    written = written_subject([[("commonName", value)] for value in values])

    assert re.fullmatch(r"[ -~]*", written)
    assert len(values) == len([part for part in re.split(r"(?<!\\)(?:\\\\)*,", written) if part])


@pytest.mark.parametrize("name", ["a", "pcs.internal", "10.0.0.1", "::1", "fe80::1", "a_b.example"])
def test_names_and_addresses_are_server_names(name: str) -> None:
    """Both may stand in a certificate."""
    assert SERVER_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "*.example", "[::1]", "-a", "a/b", "a:1b:g", "é"])
def test_what_is_neither_is_refused(name: str) -> None:
    """Wildcards, ports and brackets have no place there."""
    assert not SERVER_NAME.fullmatch(name)
