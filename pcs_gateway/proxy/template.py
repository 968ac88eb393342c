"""
Path templates, as routes and rewrites write them.

`{name}` is one non-empty segment, `{name...}` at the end is the rest of the path, slashes included
and possibly empty. Everything else is literal.
"""

from __future__ import annotations

import re

TEMPLATE_ALLOWED = (
    "a path such as /api/{version}/items/{id} or /files/{path...}: it begins with /, a parameter "
    "fills a whole segment and has its own name, {name...} comes last, and % begins an escape such as %20"
)

_LITERAL = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=:@-]|%(?!00)[0-9A-Fa-f]{2})*", re.ASCII)
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def parse_template(template: str) -> tuple[tuple[str, bool], ...]:
    """
    Return the segments of a template as (text, is a parameter) pairs; the text of `{name...}` keeps its dots.

    Raises ValueError when it is not a template.
    """
    if not template.startswith("/"):
        raise ValueError(TEMPLATE_ALLOWED)
    segments = tuple(_segment(text) for text in template[1:].split("/"))
    names = [text.removesuffix("...") for text, is_parameter in segments if is_parameter]
    rest = [text for text, is_parameter in segments[:-1] if is_parameter and text.endswith("...")]
    if rest or len(names) != len(set(names)):
        raise ValueError(TEMPLATE_ALLOWED)
    if any(text in {".", ".."} for text, _ in segments) or any(not text for text, _ in segments[:-1]):
        raise ValueError(TEMPLATE_ALLOWED)
    return segments


def template_parameters(template: str) -> frozenset[str]:
    """Return the names of a valid template's parameters."""
    return frozenset(
        text.removesuffix("...") for text, is_parameter in parse_template(template) if is_parameter
    )


def placeholders(text: str) -> frozenset[str]:
    """Return the names that `text`, a tag or the like, takes from the path in braces."""
    return frozenset(name.removesuffix("...") for name in _PLACEHOLDER.findall(text))


def _segment(text: str) -> tuple[str, bool]:
    match = _PARAMETER.fullmatch(text)
    if match is not None:
        return match[1] + (match[2] or ""), True
    if not _LITERAL.fullmatch(text):
        raise ValueError(TEMPLATE_ALLOWED)
    return text, False
