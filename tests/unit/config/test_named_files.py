"""The files that a configuration names for TLS are judged like the configuration itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pcs_gateway.config.files import NamedFiles, named_files, read_files
from pcs_gateway.errors import ConfigurationError, Problem
from tests.fakes.authority import Authority
from tests.unit.config.reading import POOLS, loaded

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()


def read(directory: Path, text: str) -> NamedFiles:
    """Load a text and read what it names."""
    return read_files(loaded(directory, text), NOW)


def problems(directory: Path, text: str) -> list[Problem]:
    """What is wrong with the files that a valid text names."""
    with pytest.raises(ConfigurationError) as caught:
        read(directory, text)
    return caught.value.problems


def listening(*lines: str) -> str:
    """A text with a listener whose section `tls` has these lines."""
    return POOLS + "\n".join(
        ["listen:", "- address: 127.0.0.1:8443", "  tls:", *[f"    {one}" for one in lines], ""]
    )


def pair_lines(pair: dict[str, str]) -> list[str]:
    """A pair, as lines."""
    return [f"{key}: {path}" for key, path in pair.items()]


def test_good_files_are_read_whole(tmp_path: Path) -> None:
    """Each by the path under which it is named, and no other."""
    authority = Authority(tmp_path)
    one, other = authority.pair("a.example"), authority.pair("b.example")
    text = listening(
        *pair_lines(one),
        f"certificates: [{{certificate: {other['certificate']}, key: {other['key']}}}]",
        f"client_certificates: {{ca: {authority.ca}}}",
    )

    found = read(tmp_path, text)

    assert () == found.notices
    assert {*one.values(), *other.values(), str(authority.ca)} == set(found.content)
    assert set(found.content) == set(named_files(loaded(tmp_path, text).config))
    assert found.content[one["key"]] == Path(one["key"]).read_bytes()


def test_missing_files_are_problems_of_their_lines(tmp_path: Path) -> None:
    """All of them, with what was found in the configuration."""
    text = listening("certificate: nowhere.crt", "key: nowhere.key", "client_certificates: {ca: nowhere.ca}")

    found = problems(tmp_path, text)

    assert [
        (5, "listen[0].tls.certificate", '"nowhere.crt"', "cannot be read: No such file or directory"),
        (6, "listen[0].tls.key", '"nowhere.key"', "cannot be read: No such file or directory"),
        (
            7,
            "listen[0].tls.client_certificates.ca",
            '"nowhere.ca"',
            "cannot be read: No such file or directory",
        ),
    ] == [(one.line, one.path, one.found, one.message) for one in found]


def test_key_of_another_certificate_is_a_problem_of_the_key(tmp_path: Path) -> None:
    """As it happens when only one of the two was replaced."""
    authority = Authority(tmp_path)
    mixed = {**authority.pair("a.example"), "key": authority.pair("a.example")["key"]}

    [found] = problems(tmp_path, listening(*pair_lines(mixed)))

    assert ("listen[0].tls.key", "is not the key of this certificate") == (found.path, found.message)


def test_further_certificate_without_names_is_a_problem(tmp_path: Path) -> None:
    """No client could ever ask for it."""
    authority = Authority(tmp_path)
    nameless = authority.pair("10.0.0.1")
    text = listening(
        *pair_lines(authority.pair("a.example")),
        f"certificates: [{{certificate: {nameless['certificate']}, key: {nameless['key']}}}]",
    )

    [found] = problems(tmp_path, text)

    assert "listen[0].tls.certificates[0].certificate" == found.path
    assert "no DNS names" in found.message


def test_expired_certificate_is_noticed(tmp_path: Path) -> None:
    """It is used all the same: a gateway that does not start would be worse."""
    pair = Authority(tmp_path).pair("a.example", not_after=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    [notice] = read(tmp_path, listening(*pair_lines(pair))).notices

    place = f"{tmp_path}/gateway.yaml:5: listen[0].tls.certificate"
    assert f"{place}: this certificate expired at 2026-01-01 00:00 UTC" == notice


def test_verification_off_is_noticed(tmp_path: Path) -> None:
    """With the line where it was switched off."""
    text = "pools:\n  pcs:\n    backends: [{url: 'https://a:1'}]\n    tls:\n      verify: false\n"

    [notice] = read(tmp_path, text).notices

    assert notice.startswith(
        f"{tmp_path}/gateway.yaml:5: pools.pcs.tls.verify: certificates of https:// backends are not verified"
    )


def test_section_without_use_is_noticed(tmp_path: Path) -> None:
    """No backend of the pool speaks TLS; its files are not asked for."""
    text = "pools:\n  pcs:\n    backends: [{url: 'http://a:1'}]\n    tls: {ca: nowhere.pem}\n"

    [notice] = read(tmp_path, text).notices

    assert notice.startswith(f"{tmp_path}/gateway.yaml:4: pools.pcs.tls has no effect: ")
    assert [] == list(named_files(loaded(tmp_path, text).config))


@pytest.mark.parametrize("content", [b"", b"pools: {}\n"])
def test_authorities_of_backends_are_read(tmp_path: Path, content: bytes) -> None:
    """And judged: a file without any would trust nobody."""
    empty = tmp_path / "empty.pem"
    empty.write_bytes(content)
    good = "pools: {pcs: {backends: [{url: 'https://a:1'}], tls: {ca: %s}}}\n"

    [found] = problems(tmp_path, good % empty)
    read_well = read(tmp_path, good % Authority(tmp_path).ca)

    assert ("pools.pcs.tls.ca", "has no certificate in PEM") == (found.path, found.message)
    assert 1 == len(read_well.content)
    assert [str(empty)] == list(named_files(loaded(tmp_path, good % empty).config))


def test_damaged_authorities_are_told_in_our_words(tmp_path: Path) -> None:
    """Not in those of a library, with a line of its source code."""
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")

    [found] = problems(
        tmp_path, f"pools: {{pcs: {{backends: [{{url: 'https://a:1'}}], tls: {{ca: {damaged}}}}}}}\n"
    )

    assert "cannot be used: a certificate in it is damaged" == found.message


def test_value_of_a_variable_is_not_quoted(tmp_path: Path) -> None:
    """The variable's name stands for it."""
    text = listening("certificate: ${CERTIFICATE}", "key: k")
    file = loaded(tmp_path, text, {"CERTIFICATE": "/secret/place"})

    with pytest.raises(ConfigurationError) as caught:
        read_files(file, NOW)

    assert "/secret/place" not in str(caught.value)
    assert "${CERTIFICATE}" in str(caught.value)
