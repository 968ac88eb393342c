"""One field or cookie of a request, found without taking all of them apart."""

import pytest

from pcs_gateway.http.lookup import cookie_value, field_value
from pcs_gateway.http.request_fields import RequestFieldsReader

SECTION = (
    b"Host: a.example\r\nX-Tenant:  one two \t\r\nNot-X-Tenant: wrong\r\nx-tenant: second\r\nEmpty:\r\n"
    b"X-Note: noted: no\r\n"
    b"Cookie: a=1; session=s1;other=2\r\nCOOKIE: b=x=y; session=s2\r\n"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"host", b"a.example"),
        (b"x-tenant", b"one two, second"),
        (b"not-x-tenant", b"wrong"),
        (b"empty", b""),
        (b"tenant", b""),
        (b"x-tenant:", b""),
        (b"noted", b""),
        (b"absent", b""),
    ],
)
def test_a_field_is_found_by_its_whole_name(name: bytes, value: bytes) -> None:
    """Whatever its spelling; of several all, without the spaces around each."""
    assert value == field_value(SECTION, name)
    assert value == RequestFieldsReader(b"x-request-id", 100).read(SECTION).values.get(name, b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"a", b"1"),
        (b"session", b"s1"),
        (b"other", b"2"),
        (b"b", b"x=y"),
        (b"Session", b""),
        (b"ession", b""),
        (b"absent", b""),
    ],
)
def test_a_cookie_is_found_in_any_cookie_field(name: bytes, value: bytes) -> None:
    """Names of cookies are case-sensitive; of several values the first one counts."""
    assert value == cookie_value(SECTION, name)


def test_nothing_is_found_in_nothing() -> None:
    """A request without fields has no value."""
    assert b"" == field_value(b"", b"host")
    assert b"" == cookie_value(b"", b"a")
