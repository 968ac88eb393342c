"""
The models asked about themselves: which keys a section has, and what a key allows.

What is allowed is not written down a second time: a value that nothing accepts is validated, and
the validator's own refusal is the description. So messages and documentation cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import PlainSerializer, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.references import Path
from pcs_gateway.section import Mark, Section


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a value, with what is attached to it: bounds, validators, marks."""

    annotation: Any
    metadata: tuple[Any, ...] = ()

    @property
    def section(self) -> type[Section] | None:
        """The model, when the value is a section."""
        return (
            self.annotation
            if isinstance(self.annotation, type) and issubclass(self.annotation, Section)
            else None
        )

    @property
    def mark(self) -> Mark | None:
        """How the value is masked."""
        return next((one for one in self.metadata if isinstance(one, Mark)), None)

    def member(self, part: str | int) -> Kind | None:
        """Return the kind of one member: of a section, a mapping or a list."""
        if self.section is not None:
            field = self.section.model_fields.get(str(part))
            return kind_of(field) if field is not None else None
        arguments = get_args(self.annotation)
        if get_origin(self.annotation) is dict:
            return unwrapped(arguments[1])
        if get_origin(self.annotation) is tuple:
            return unwrapped(arguments[0])
        return None


def kind_of(field: FieldInfo) -> Kind:
    """Return the kind of a section's field."""
    return unwrapped(field.annotation, tuple(field.metadata))


def unwrapped(annotation: Any, metadata: tuple[Any, ...] = ()) -> Kind:
    """Return the kind behind `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        inner, *attached = get_args(annotation)
        flat = [part for one in attached for part in (one.metadata if isinstance(one, FieldInfo) else (one,))]
        return unwrapped(inner, (*flat, *metadata))
    if get_origin(annotation) in {Union, UnionType}:
        rest = [one for one in get_args(annotation) if one is not NoneType]
        if len(rest) == 1:
            return unwrapped(rest[0], metadata)
    return Kind(annotation, metadata)


ROOT = Kind(GatewayConfig)


def kind_at(path: Path) -> Kind | None:
    """Return the kind of the value at `path`; None where the models know none."""
    kind: Kind | None = ROOT
    for part in path:
        kind = kind.member(part) if kind is not None else None
    return kind


def keys_at(path: Path) -> list[str]:
    """Return the keys of the section at `path`; none where there is no section."""
    kind = kind_at(path)
    return list(kind.section.model_fields) if kind is not None and kind.section is not None else []


def allowed_at(path: Path) -> str:
    """Return what may stand at `path`, in words."""
    kind = kind_at(path)
    return allowed(kind) if kind is not None else ""


def allowed(kind: Kind) -> str:
    """Return what a value of this kind may be, in words."""
    if kind.section is not None:
        example = kind.section.EXAMPLE
        return f"a mapping, such as {example}" if example else "a mapping"
    origin, arguments = get_origin(kind.annotation), get_args(kind.annotation)
    if origin is Literal:
        words = [f'"{one}"' if _is_number(one) else str(one) for one in arguments]
        return _listed(words) + (" (in quotes)" if any(map(_is_number, arguments)) else "")
    if origin is dict:
        return f"a mapping{_count(kind.metadata, 'member')}"
    if origin is tuple:
        return f"a list{_count(kind.metadata)} of: {allowed(unwrapped(arguments[0]))}"
    return _refusal(kind) + _range(kind.metadata)


def dumped(value: Any, kind: Kind) -> Any:
    """Return a value of this kind as a file would write it."""
    return _adapter(kind.annotation, kind.metadata).dump_python(value, mode="json")


class _Unacceptable:
    """A value that no validator of a configuration accepts."""


@cache
def _adapter(annotation: Any, metadata: tuple[Any, ...]) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[annotation, *metadata] if metadata else annotation)


def _refusal(kind: Kind) -> str:
    try:
        _adapter(kind.annotation, kind.metadata).validate_python(_Unacceptable())
    except ValidationError as error:
        context = error.errors(include_url=False, include_input=False)[0].get("ctx", {})
        return str(context.get("error", ""))
    return ""


def _is_number(word: Any) -> bool:
    """Tell whether YAML takes a word of a choice for a number where it is not in quotes."""
    return str(word).replace(".", "", 1).isdigit()


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _count(metadata: tuple[Any, ...], noun: str = "item") -> str:
    most = next((one.max_length for one in metadata if isinstance(one, MaxLen)), None)
    least = next((one.min_length for one in metadata if isinstance(one, MinLen)), None)
    if most is not None:
        return f" ({least or 0} to {most} {noun}s)"
    return f" (at least {least} {noun})" if least else ""


def _range(metadata: tuple[Any, ...]) -> str:
    bounds = {
        name: bound for one in metadata for name in _BOUNDS if (bound := getattr(one, name, None)) is not None
    }
    shown = {name: _shown(bound, metadata) for name, bound in bounds.items()}
    if shown.keys() == {"ge", "le"}:
        return f", from {shown['ge']} to {shown['le']}"
    return "".join(f", {_BOUNDS[name]} {text}" for name, text in shown.items())


_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _shown(bound: Any, metadata: tuple[Any, ...]) -> str:
    """Return a bound as a file would write it, with its unit."""
    serializer = next((one for one in metadata if isinstance(one, PlainSerializer)), None)
    format_bound: Callable[[Any], str] = cast("Callable[[Any], str]", serializer.func) if serializer else str
    return format_bound(bound) if bound else "0"
