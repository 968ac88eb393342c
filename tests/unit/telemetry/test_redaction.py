"""What must not be shown in a log."""

import json

import pytest

from pcs_gateway.telemetry.redaction import MAXIMUM_TARGET, is_secret_name, shown_target


@pytest.mark.parametrize(
    "name",
    [
        "token", "access_token", "csrfToken", "X-API-Key", "api_key", "apikey", "key", "password", "passwd",
        "client_secret", "X-Amz-Signature", "sig", "Authorization", "Cookie", "Set-Cookie", "session_id",
        "auth", "code", "jwt", "X-Amz-Credential", "Proxy-Authorization",
    ],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    """Names that usually hold credentials are masked."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["page", "keyword", "max_tokens", "tokenizer", "author", "category", "significant", "encode", "passage"],
)
def test_ordinary_names_are_left_alone(name: str) -> None:
    """Words that only look like it are shown."""
    assert not is_secret_name(name)


class TestShownTarget:
    @pytest.mark.parametrize(
        ("target", "shown"),
        [
            ("/", "/"),
            ("/a?page=2&size=10", "/a?page=2&size=10"),
            ("/a?token=abc", "/a?token=***"),
            ("/a?page=2&api_key=abc&x=1", "/a?page=2&api_key=***&x=1"),
            ("/a?page=2;sig=abc", "/a?page=2;sig=***"),
            ("/a?to%6ben=abc&b=%20", "/a?to%6ben=***&b=%20"),
            ("/a?token=a=b?c", "/a?token=***"),
            ("/a?token", "/a?token"),
            ("/a?token=", "/a?token=***"),
            ("/a?q=token", "/a?q=token"),
            ("/a?PASSWORD=x", "/a?PASSWORD=***"),
            ("/a?", "/a?"),
            ("/people/a@b?x=1", "/people/a@b?x=1"),
            ("http://user:pw@host/a@b?key=1", "http://***@host/a@b?key=***"),
            ("*", "*"),
        ],
    )
    def test_values_of_secrets_are_masked(self, target: str, shown: str) -> None:
        """Everything else is shown as it was received, byte for byte."""
        assert shown == shown_target(target)

    def test_long_targets_are_cut(self) -> None:
        """The cut shows, and comes after the masking."""
        shown = shown_target(f"/?token={'t' * 5000}&x={'x' * 5000}")

        assert shown == f"/?token=***&x={'x' * (MAXIMUM_TARGET - 14)}…"

    @pytest.mark.parametrize("character", ["x", '"', "é", "\x01"])
    def test_length_is_that_of_json(self, character: str) -> None:
        """What is escaped counts as it will stand in the line; what fits is whole."""
        cut = shown_target(character * 5000, 600)
        size = len(json.dumps(character, ensure_ascii=False).encode()) - 2
        whole = character * (600 // size)

        assert cut == f"{whole}…"
        assert shown_target(whole, 600) == whole
