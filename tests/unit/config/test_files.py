"""The configuration files that are shipped."""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from pcs_gateway.config.document import parse
from pcs_gateway.config.loading import checked, load
from pcs_gateway.config.schema import ROOT as KINDS
from pcs_gateway.config.schema import Kind, kind_of, unwrapped

ROOT = Path(__file__).parents[3]
GATEWAY = ROOT / "config" / "gateway.yaml"

COMMENTED_OUT = re.compile(r"^( *)#( *)(?=- |[a-z_0-9]+:|severity)", re.MULTILINE)
"""A commented-out key: # and no space, or deeper in such a section; prose begins with "# " and a capital."""


def _uncommented() -> str:
    head, _, rest = GATEWAY.read_text("utf-8").partition("\nlisten:")
    assert head.startswith("# Every key there is")
    return COMMENTED_OUT.sub(r"\1\2", "listen:" + rest)


def _keys(kind: Kind, path: str) -> set[str]:
    """Return the paths of all keys below a kind, without names and positions."""
    arguments = get_args(kind.annotation)
    if get_origin(kind.annotation) is dict:
        return _keys(unwrapped(arguments[1]), path)
    if get_origin(kind.annotation) is tuple:
        return _keys(unwrapped(arguments[0]), path)
    if kind.section is None:
        return {path}
    members = {name: kind_of(field) for name, field in kind.section.model_fields.items()}
    return {path} | {key for name, member in members.items() for key in _keys(member, f"{path}.{name}")}


def _used(value: Any, kind: Kind, path: str) -> set[str]:
    """Return the paths of all keys that a file uses, in the same form."""
    if isinstance(value, list):
        return set[str]().union(
            *(_used(item, unwrapped(get_args(kind.annotation)[0]), path) for item in value)
        )
    if not isinstance(value, dict):
        return {path}
    if kind.section is None:
        inner = get_args(kind.annotation)
        return {path}.union(
            *(_used(one, unwrapped(inner[1]), path) for one in value.values()) if inner else ()
        )
    members = ((name, one, kind.member(name)) for name, one in value.items())
    return {path}.union(*(_used(one, member, f"{path}.{name}") for name, one, member in members if member))


@pytest.mark.parametrize("name", ["minimal.yaml", "gateway.yaml"])
def test_it_loads_as_it_stands_without_an_environment(name: str) -> None:
    """No variable has to be set, nobody has to be root."""
    config = load(ROOT / "config" / name, {}).config

    assert all(listener.port >= 1024 for listener in config.listen)
    assert not Path(config.state.directory).is_absolute()


def test_the_minimal_file_says_only_what_is_needed() -> None:
    """One pool with one backend, where `python -m http.server` is by default."""
    data = parse((ROOT / "config" / "minimal.yaml").read_text("utf-8"), "f", {}).data

    assert {"pools": {"pcs": {"backends": [{"url": "http://127.0.0.1:8000"}]}}} == data


def test_the_full_file_is_valid_with_everything_switched_on() -> None:
    """What is commented out is right, too."""
    environ = {"REDIS_URL": "redis://r:1/0", "PCS_GATEWAY_CACHE_SECRET": "x"}
    config = checked(parse(_uncommented(), "f", environ))

    assert "redis://r:1/0" == config.cache.l2.redis
    assert 2 == len(config.alerts.rules)


def test_the_full_file_shows_every_key_there_is() -> None:
    """As a key, commented out or not; of keys that exclude each other one may stand in a remark."""
    text = _uncommented()
    missing = _keys(KINDS, "") - _used(parse(text, "f", {}).data, KINDS, "")

    overrides = {key for key in missing if key.startswith((".routes.timeouts.", ".routes.limits."))}
    remarked = {key for key in missing if re.search(rf"#.*\b{key.rpartition('.')[2]}: \[", text)}
    assert set() == missing - overrides - remarked
