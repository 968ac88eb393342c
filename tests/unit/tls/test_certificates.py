"""Pairs of certificate and key, judged before they are used."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from pcs_gateway.tls.certificates import UnusableError, inspect, load_authorities
from tests.fakes.authority import Authority


def read(pair: dict[str, str]) -> tuple[bytes, bytes]:
    """Certificate and key."""
    return Path(pair["certificate"]).read_bytes(), Path(pair["key"]).read_bytes()


def test_a_good_pair_tells_names_and_times(tmp_path: Path) -> None:
    """As they stand in the certificate; addresses are no names that SNI could ask for."""
    end = dt.datetime(2040, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    told = inspect(*read(Authority(tmp_path).pair("a.example", "*.b.example", "127.0.0.1", not_after=end)))

    assert (("a.example", "*.b.example"), end.timestamp()) == (told.names, told.not_after)
    assert told.not_before < told.not_after


def test_an_expired_certificate_can_be_inspected(tmp_path: Path) -> None:
    """That it has expired is said elsewhere: to some clients it is better than none."""
    end = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

    assert end.timestamp() == inspect(*read(Authority(tmp_path).pair("a", not_after=end))).not_after


def test_a_chain_with_an_intermediate_is_good(tmp_path: Path) -> None:
    """The certificate itself comes first."""
    signed = trustme.CA().create_child_ca().issue_cert("a.example")
    chain = b"".join(blob.bytes() for blob in signed.cert_chain_pems)

    assert 1 < chain.count(b"BEGIN")
    assert ("a.example",) == inspect(chain, signed.private_key_pem.bytes()).names


def encrypted(key: bytes) -> bytes:
    """The key, with a passphrase."""
    loaded = serialization.load_pem_private_key(key, None)
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize(
    ("spoil", "reason", "blames_key"),
    [
        (lambda _, k: (b"", k), "has no certificate in PEM", False),
        (lambda c, _: (c, b""), "has no private key in PEM", True),
        (lambda c, k: (c[: len(c) // 2], k), "has no certificate in PEM", False),
        (lambda c, k: (c.replace(b"M", b"?", 9), k), "cannot be used: ", False),
        (lambda c, k: (c, k[:-60] + k[-30:]), "cannot be used: ", False),
        (lambda c, k: (c, encrypted(k)), "has a passphrase", True),
        (lambda c, k: (k, c), "has no private key in PEM", True),
        (lambda c, _: (c, trustme.CA().issue_cert("a").private_key_pem.bytes()), "is not the key", True),
    ],
    ids=["no certificate", "no key", "half", "spoilt", "key too short", "locked", "swapped", "of another"],
)
def test_a_bad_pair_says_what_is_wrong_with_which(
    tmp_path: Path,
    spoil: Callable[[bytes, bytes], tuple[bytes, bytes]],
    reason: str,
    blames_key: bool,
) -> None:
    """Half-written, swapped, of two certificates, locked."""
    certificate, key = spoil(*read(Authority(tmp_path).pair("a.example")))

    with pytest.raises(UnusableError) as caught:
        inspect(certificate, key)

    assert str(caught.value).startswith(reason)
    assert blames_key == caught.value.blames_key


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\xff"])
def test_authorities_must_be_certificates(content: bytes) -> None:
    """An empty list would trust nobody, and say nothing."""
    with pytest.raises(UnusableError):
        load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), content)
