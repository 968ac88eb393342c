"""YAML as plain data with lines, and nothing else."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcs_gateway.config.document import parse
from pcs_gateway.config.loading import checked
from pcs_gateway.errors import ConfigurationError

PIECES = st.sampled_from(
    [
        "pools",
        "routes",
        "a",
        "x-y",
        ": ",
        ":",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\n",
        "\n  ",
        "\t",
        "'",
        '"',
        "&a ",
        "*a",
        "!!int ",
        "!t ",
        "? ",
        "| ",
        "> ",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "#",
        "${A}",
        "${",
        "$$",
        "1",
        "1e999",
        "0x_",
        "~",
        "<<",
        "\\x",
        "\x00",
        "\ufeff",
        "é",
        "😀",
        "\x85",
        "\u2028",
        "true",
        ".nan",
        "2020-01-01",
        "=",
        "@",
        "`",
    ]
)


def test_plain_scalars_mean_what_yaml_1_2_says() -> None:
    """No octal by a leading zero, no booleans but true and false, no sexagesimal numbers."""
    text = "{a: 12, b: 012, c: 0x1F, d: 0o17, e: -3, f: 1_000, g: 1.5, h: yes, i: 1:30, j: ~, k: true}"

    data = parse(text, "f", {}).data

    expected = {
        "a": 12,
        "b": 12,
        "c": 31,
        "d": 15,
        "e": -3,
        "f": 1000,
        "g": 1.5,
        "h": "yes",
        "i": "1:30",
        "j": None,
    }
    assert expected | {"k": True} == data


def test_quoted_scalars_dates_and_long_numbers_are_text() -> None:
    """What has no use as another type stays what was written."""
    digits = "9" * 5000

    data = parse(f"a: '1'\nb: \"true\"\nc: 2020-01-01\nd: {digits}\ne: |\n  x\n  y\n", "f", {}).data

    assert {"a": "1", "b": "true", "c": "2020-01-01", "d": digits, "e": "x\ny\n"} == data


def test_every_value_knows_its_line() -> None:
    """A member stands where its key does, an item where it begins."""
    document = parse("a:\n  b: 1\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n", "f", {})

    expected = {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "d"): 5,
    }
    assert expected | {("a", "c", 1, "e"): 6} == document.lines
    assert 3 == document.line(("a", "c", 7, "z"))
    assert 0 == document.line(("z",))


def test_an_alias_stands_for_its_anchor() -> None:
    """Aliases may be used; each use is a value of its own."""
    data = parse("a: &x {b: [1]}\nc: *x\n", "f", {}).data

    assert data["a"] == data["c"] == {"b": [1]}
    assert data["a"] is not data["c"]


def test_keys_that_are_no_text_are_told() -> None:
    """A list or a mapping as a key is a problem; a number or nothing is its own text."""
    document = parse("? [a]\n: 1\n2: x\n", "f", {})

    assert ["a key that is no text"] == [problem.message for problem in document.problems]
    assert {"2": "x"} == document.data


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\udfff": 1', "a: ${HALF}", "a: x${HALF}"])
def test_halves_of_characters_are_told(text: str) -> None:
    """Escapes and the environment can hold what no file and no worker can be told."""
    (problem,) = parse(text, "f", {"HALF": "\udcff"}).problems

    assert "text" in problem.message
    assert str(problem).encode()


def test_the_environment_is_remembered_without_its_values() -> None:
    """What may be shown of a text from the environment is the name of its variable."""
    document = parse(
        "a: x${A}y\nb: ${B:-secret default}\nc: ${C:-d}\n", "f", {"A": "hunter2", "C": "hunter3"}
    )

    assert {"a": "xhunter2y", "b": "secret default", "c": "hunter3"} == document.data
    assert {("a",): "x${A}y", ("c",): "${C}"} == document.environment


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join)))
def test_garbage_is_a_configuration_error_and_nothing_else(text: str) -> None:
    """Whatever is in the file, the answer is a list of problems."""
    try:
        checked(parse(text, "f", {"A": "a"}))
        lines = ["valid"]
    except ConfigurationError as error:
        lines = [str(problem) for problem in error.problems]
    assert lines
    assert all(line and "\n" not in line for line in lines)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(string.printable, max_size=10),
    st.just("5s"),
)
KEYS = st.sampled_from(
    [
        "pools",
        "pcs",
        "backends",
        "url",
        "name",
        "weight",
        "routes",
        "match",
        "path",
        "methods",
        "pool",
        "respond",
        "cache",
        "ttl",
        "listen",
        "address",
        "tls",
        "admin",
        "token",
        "limits",
        "headers",
        "scaling",
        "alerts",
        "rules",
        "health_check",
        "retry",
        "on",
        "hedge",
        "concurrency",
        "strategy",
        "hash_on",
        "request_headers",
        "set",
        "remove",
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_well_formed_nonsense_is_a_configuration_error_and_nothing_else(tree: dict[str, object]) -> None:
    """Known keys in wrong places with wrong values never raise anything but their problems."""
    document = parse("", "f", {})
    document.data.update(tree)

    with pytest.raises(ConfigurationError) as caught:
        checked(document)

    assert caught.value.problems
