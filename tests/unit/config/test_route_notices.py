"""Routes that never get a request say so, and what is meant otherwise."""

from pathlib import Path

import pytest

from tests.unit.config.reading import POOLS, pool, told

STAR = "`*` stands for itself; {name} is any one segment and {name...} the rest"
ENDED = "is never reached: request_total ({}) ends the request before"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("", ""),
        ("path: '/{path...}'", "path: /api/v1"),
        ("path: '/{path...}'", "path: '/{all...}', host: a, methods: [GET]"),
        ("path: '/api/{rest...}'", "path: '/api/{name}/x'"),
        ("path: '/api/{rest...}'", "path: /api/"),
        ("path: '/api/{rest...}'", "path: '/api/v1/{rest...}'"),
        ("path: '/{a}/x'", "path: '/{b}/x'"),
        ("path: '/{a}/x'", "path: /b/x"),
        ("path: /%61", "path: /a"),
        ("host: a", "host: A, path: /b"),
        ("methods: [GET, HEAD]", "methods: [HEAD], path: /b"),
    ],
)
def test_a_route_whose_requests_another_takes_is_told(tmp_path: Path, earlier: str, later: str) -> None:
    """The first match wins, so a later route with nothing of its own is never reached."""
    text = f"routes: [{{match: {{host: x, path: /y}}}}, {{match: {{{earlier}}}}}, {{match: {{{later}}}}}]"
    [notice] = told(tmp_path, POOLS + text)

    assert "2: routes[2] is never reached: routes[1] takes all its requests" == notice


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("path: /api", "path: '/{path...}'"),
        ("path: '/api/{rest...}'", "path: /api"),
        ("path: '/{a}'", "path: '/{path...}'"),
        ("path: '/{a}'", "path: '/{a}/{b}'"),
        ("path: '/{a}'", "path: /"),
        ("path: '/{a}/x'", "path: '/{a}/y'"),
        ("path: /x", "path: '/{a}'"),
        ("host: a", ""),
        ("host: a", "host: b"),
        ("methods: [GET]", ""),
        ("methods: [GET]", "methods: [GET, POST]"),
    ],
)
def test_a_route_with_requests_of_its_own_is_not(tmp_path: Path, earlier: str, later: str) -> None:
    """Be it a single one."""
    text = f"routes: [{{match: {{{earlier}}}}}, {{match: {{{later}}}}}]"

    assert [] == told(tmp_path, POOLS + text)


def test_thousands_of_routes_and_segments_are_looked_at(tmp_path: Path) -> None:
    """Neither each against all others, nor with a call for each segment."""
    routes = "".join(f"- match: {{path: '/a/{{x}}/{number}'}}\n" for number in range(3000))
    deep = "- match: {path: '" + "/a" * 5000 + "'}\n"
    notices = told(tmp_path, f"{POOLS}routes:\n{routes}{deep}- match: {{path: '/a/b/7'}}\n")

    assert ["3004: routes[3001] is never reached: routes[7] takes all its requests"] == notices


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        (
            "routes: [{match: {path: '/api/v1/rules/*'}}]",
            f"2: routes[0].match.path: {STAR}",
        ),
        (
            "routes: [{rewrite: '/v2/*'}]",
            f"2: routes[0].rewrite: {STAR}",
        ),
        (
            "routes: [{match: {methods: [POST, GTE]}}]",
            "2: routes[0].match.methods[1]: GTE is no registered method (did you mean GET?)",
        ),
        (
            "timeouts: {response_head: 1m}",
            f"2: timeouts.response_head {ENDED.format('30s')}",
        ),
        (
            "routes: [{timeouts: {response_head: 8s, request_total: 5s}}]",
            f"2: routes[0].timeouts.response_head {ENDED.format('5s')}",
        ),
    ],
)
def test_what_is_meant_otherwise_is_told(tmp_path: Path, text: str, notice: str) -> None:
    """With what would be right."""
    assert [notice] == told(tmp_path, POOLS + text)


@pytest.mark.parametrize(
    "text",
    [
        "timeouts: {request_total: 5s}",
        "timeouts: {response_head: 30s}",
        "timeouts: {response_head: 1m}\nroutes: [{match: {path: /a}}, {timeouts: {request_total: 2m}}]",
        "routes: [{timeouts: {request_total: 5s}}]",
    ],
)
def test_a_total_shorter_than_the_default_of_a_head_is_none_of_it(tmp_path: Path, text: str) -> None:
    """Nobody asked for that head."""
    assert [] == told(tmp_path, POOLS + text)


def test_a_method_of_retries_is_told_too(tmp_path: Path) -> None:
    """It is misspelt as easily."""
    [notice] = told(tmp_path, pool("retry: {methods: [GTE]}"))

    assert notice.startswith("1: pools.pcs.retry.methods[0]: GTE is no registered method")


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/foo/{p...}", "/bar"), ("/foo", "/foo/bar"), ("/foo/", "/foo/bar"), ("/A/b", "/%41")],
)
def test_a_prefix_that_no_path_of_the_route_has_is_told(tmp_path: Path, path: str, prefix: str) -> None:
    """Nothing would ever be stripped."""
    [notice] = told(tmp_path, f"{POOLS}routes: [{{match: {{path: '{path}'}}, strip_prefix: {prefix}}}]")

    assert notice.startswith("2: routes[0].strip_prefix has no effect: ")


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/{a}/b", "/foo/"),
        ("/foo/{p...}", "/foo/bar"),
        ("/%66oo/{p...}", "/foo"),
        ("/foo", "/foo"),
        ("/{path...}", "/foo/bar"),
        ("/foo", "/"),
    ],
)
def test_a_prefix_that_some_path_may_have_is_not(tmp_path: Path, path: str, prefix: str) -> None:
    """Be it a single one."""
    text = f"{POOLS}routes: [{{match: {{path: '{path}'}}, strip_prefix: {prefix}}}]"

    assert [] == told(tmp_path, text)
