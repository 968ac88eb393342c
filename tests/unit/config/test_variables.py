"""Variables in text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.config.variables import substitute, without_defaults

ENVIRON = {"NAME": "value", "EMPTY": "", "DOLLARS": "$${NAME}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${NAME}", "value"),
        ("a ${NAME} b ${NAME}", "a value b value"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${ABSENT:-}", ""),
        ("${ABSENT:-http://a:1/?x=-}", "http://a:1/?x=-"),
        ("$${NAME}", "${NAME}"),
        ("$$$$", "$$"),
        ("$NAME costs 5$", "$NAME costs 5$"),
        ("${DOLLARS}", "$${NAME}"),
    ],
)
def test_variables_are_replaced_once(text: str, result: str) -> None:
    """Values, defaults and dollar signs; what comes in is not looked at again."""
    assert result == substitute(text, ENVIRON).text


def test_a_missing_variable_is_named() -> None:
    """All of them, in order."""
    assert ("A", "B") == substitute("${A}${NAME}${B}", ENVIRON).missing


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:x}", "${A:-{}}", "${ A }"])
def test_what_only_looks_like_a_variable_is_told(text: str) -> None:
    """A brace after a dollar sign is never passed on silently."""
    assert substitute(text, ENVIRON).is_broken or substitute(text, ENVIRON).text.endswith("}")


def test_only_the_environment_counts_as_such() -> None:
    """A default was written into the file: it is nobody's secret."""
    assert ("NAME",) == substitute("${NAME}${ABSENT:-x}", ENVIRON).names
    assert substitute("${ABSENT:-x}", ENVIRON).has_variables


def test_what_is_shown_has_no_defaults() -> None:
    """The variable's name is enough."""
    assert "a${A}b${B}$$" == without_defaults("a${A:-secret}b${B}$$")


@given(st.text(st.characters(exclude_characters="$")))
def test_text_without_dollar_signs_is_left_alone(text: str) -> None:
    """Nothing else has a meaning."""
    assert text == substitute(text, {}).text
