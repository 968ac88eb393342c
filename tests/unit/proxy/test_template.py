"""Path templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcs_gateway.proxy.template import parse_template, placeholders, template_parameters


def test_segments_are_literals_and_parameters() -> None:
    """In order, with the rest of the path at the end."""
    expected = (("api", False), ("id", True), ("files", False), ("path...", True))

    assert expected == parse_template("/api/{id}/files/{path...}")
    assert {"id", "path"} == template_parameters("/api/{id}/files/{path...}")


@pytest.mark.parametrize("template", ["/", "/a/", "/{a}/", "/a.b~c/%2F", "/:x/@y", "/{path...}"])
def test_these_are_templates(template: str) -> None:
    """A slash at the end is a segment of its own: the empty one."""
    assert parse_template(template)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "a",
        "{a}",
        "//",
        "/a//b",
        "/a?b",
        "/a#b",
        "/a b",
        "/{a}/{a}",
        "/{a...}/b",
        "/{a}b",
        "/{}",
        "/{1}",
        "/./a",
        "/a/../b",
        "/a\\b",
        "/é",
        "/{a",
        "/a}",
        "/{a}{b}",
        "/a%",
        "/a%zz",
        "/%00",
    ],
)
def test_these_are_none(template: str) -> None:
    """The error says how a template looks."""
    with pytest.raises(ValueError, match="a path such as"):
        parse_template(template)


@given(st.text(max_size=30))
def test_any_text_is_a_template_or_a_value_error(text: str) -> None:
    """Nothing else is raised, and what is accepted can be put together again."""
    try:
        segments = parse_template(text)
    except ValueError:
        return
    assert text == "/" + "/".join(f"{{{word}}}" if is_parameter else word for word, is_parameter in segments)


def test_placeholders_of_a_tag_are_found() -> None:
    """By their names."""
    assert {"id", "path"} == placeholders("prompt:{id}:{path...}:x")
