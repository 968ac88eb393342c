"""
A YAML file as plain data in which every value knows its line.

YAML 1.2, one document, no tags, no key twice. The tree is built here from the composed nodes rather
than by a constructor: so all duplicate keys and variables are reported at once, aliases are counted
before they are expanded, and no value of a file ever makes an object of any but the plain types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pcs_gateway.config.references import Path, path_text
from pcs_gateway.config.variables import VARIABLE_ALLOWED, substitute, without_defaults
from pcs_gateway.errors import ConfigurationError, Problem
from pcs_gateway.section import FromEnvironment

MOST_BYTES = 512 * 1024
"""Of a file: several times what 64 pools and 500 routes take."""
MOST_VALUES = 50_000
"""Of a file, each use of an alias counted: what keeps a few nested aliases from filling the memory."""
DEEPEST = 30
"""Levels of nesting; the sections need ten."""

_LONE_HALF = re.compile("[\ud800-\udfff]")
_QUESTIONS: Mapping[str, str] = {
    "mapping values are not allowed here": " (indentation, or a colon in a value without quotes?)",
    "could not find expected ':'": " (indentation, or a key without its colon?)",
    "found character '\\t' that cannot start any token": " (indent by spaces)",
}
"""What the YAML library's words mean most often."""
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Document:
    """
    A file as plain data.

    Attributes:
        file: Its name, as given.
        data: Mappings, lists, text, numbers, booleans and None.
        lines: Where each value stands, by its path; for a member of a mapping the line of its key.
        sources: What is written in the file for each scalar, variables not replaced.
        environment: The scalars whose value came from the environment, as they may be shown.
        problems: Duplicate keys, missing variables and the like; the rest of the data can still be checked.
        unknown: The scalars that have no value, since a variable is missing or broken.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    sources: dict[Path, str] = field(default_factory=dict)
    environment: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unknown: set[Path] = field(default_factory=set)

    def line(self, path: Path) -> int:
        """Return the line of a value, or of the nearest thing around it that is there; 0 without any."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def add(self, path: Path, message: str, *, line: int = 0, found: str = "", allowed: str = "") -> None:
        """Add a problem; without a line, where its path stands."""
        place = line or self.line(path)
        self.problems.append(Problem(self.file, place, path_text(path), found, allowed, message))


def parse(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """
    Return the data of a YAML text.

    Raises:
        ConfigurationError: It is no YAML, or no mapping, or larger than any configuration.
    """
    if len(text) > MOST_BYTES:
        raise _refused(file, 0, "file too large", f"at most {MOST_BYTES // 1024} KiB")
    root = _compose(text, file)
    document = Document(file)
    if root is None:
        return document
    if not isinstance(root, MappingNode):
        line = root.start_mark.line + 1
        raise _refused(file, line, "not a configuration", "a mapping, such as pools: {…}")
    builder = _Builder(document, environ)
    builder.mapping(root, (), document.data)
    return document


def _refused(file: str, line: int, message: str, allowed: str = "") -> ConfigurationError:
    return ConfigurationError([Problem(file, line, "", "", allowed, message)])


def _compose(text: str, file: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # YAML 1.2 allows to set an anchor anew
    try:
        node: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        problem = str(error.problem or error.context)
        message = f"not valid YAML: {problem}{_QUESTIONS.get(problem, '')}"
        raise _refused(file, line, message, _hint(text, line)) from None
    except RecursionError:
        raise _refused(file, 0, "nested too deeply", f"at most {DEEPEST} levels") from None
    except YAMLError as error:
        first = str(error).strip().partition("\n")[0]
        raise _refused(file, 0, f"not valid YAML: {first}") from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        # Malformed directives and escapes leave the YAML library by whatever its own code raised.
        raise _refused(file, 0, "not valid YAML") from None
    return node


def _hint(text: str, line: int) -> str:
    """Return what to write where a variable stands bare between braces, which YAML reads as a mapping."""
    lines = text.splitlines()
    has_variable = 0 < line <= len(lines) and "${" in lines[line - 1]
    return "between { } or [ ], a variable in quotes" if has_variable else ""


class _Builder:
    """Turns nodes into data, counting what it makes."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._values = 0

    def mapping(self, node: MappingNode, path: Path, into: dict[str, Any]) -> None:
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or not _is_text(key_node.value):
                self._document.add(path, "a key that is no text", line=line)
                continue
            key = str(key_node.value)
            if key in first_lines:
                first = first_lines[key]
                self._document.add((*path, key), f"key given twice, first on line {first}", line=line)
                continue
            first_lines[key] = line
            self._document.lines[*path, key] = line
            into[key] = self._value(value_node, (*path, key))

    def _value(self, node: Node, path: Path) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _refused(
                self._document.file, self._document.line(path), "too many values", f"at most {MOST_VALUES}"
            )
        if len(path) > DEEPEST:
            raise _refused(
                self._document.file,
                self._document.line(path),
                "nested too deeply",
                f"at most {DEEPEST} levels",
            )
        if isinstance(node, MappingNode):
            members: dict[str, Any] = {}
            self.mapping(node, path, members)
            return members
        if isinstance(node, SequenceNode):
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _item(self, node: Node, path: Path) -> Any:
        self._document.lines[path] = node.start_mark.line + 1
        return self._value(node, path)

    def _scalar(self, node: Node, path: Path) -> Any:
        text = str(node.value)
        self._document.sources[path] = text
        if "$" in text:
            return self._substituted(text, path)
        self._require_text(text, path)
        tag = str(node.tag)
        if tag in PLAIN_TYPES:
            return PLAIN_TYPES[tag](text)
        if not tag.startswith(_TAG) or tag.removeprefix(_TAG) not in {"str", "timestamp", "merge", "value"}:
            self._document.add(path, "tags have no meaning here", found=tag.replace(_TAG, "!!"))
        return text

    def _require_text(self, text: str, path: Path) -> None:
        if not _is_text(text):
            self._document.add(path, "not text", allowed="text that can be written in UTF-8")
            self._document.unknown.add(path)

    def _substituted(self, text: str, path: Path) -> str:
        result = substitute(text, self._environ)
        if result.is_broken:
            self._document.add(path, "not a variable", allowed=VARIABLE_ALLOWED)
        for name in result.missing:
            self._document.add(
                path,
                f"environment variable {name} is not set",
                allowed=f"set it, or write ${{{name}:-default}}",
            )
        if result.is_broken or result.missing:
            self._document.unknown.add(path)
        self._require_text(result.text, path)
        if result.names:
            self._document.environment[path] = without_defaults(text)
        return FromEnvironment(result.text) if result.has_variables else result.text


def _is_text(text: str) -> bool:
    """Return whether a text has no lone halves of characters, which escapes and the environment can hold."""
    return _LONE_HALF.search(text) is None


def _integer(text: str) -> int | str:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    try:
        return sign * int(digits[2:] if base != 10 else digits, base)
    except ValueError:
        return text


def _float(text: str) -> float | str:
    try:
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text


def _boolean(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


PLAIN_TYPES: Mapping[str, Callable[[str], Any]] = {
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _boolean,
    f"{_TAG}int": _integer,
    f"{_TAG}float": _float,
}
"""What a plain scalar means, by the tag that YAML 1.2's core schema resolves it to."""
