"""
Which route takes a request, and what it changes on the way.

Rows cite RFC 3986 (paths) or RFC 9110.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.backend import OK, answering, echoing
from tests.fakes.gateway import talking
from tests.fakes.waiting import until

EVERYTHING = {"name": "rest", "match": {"path": "/{path...}"}, "pool": "pcs"}


def fixed(name: str, **match: Any) -> dict[str, Any]:
    """A route that answers with its own name."""
    return {"name": name, "match": match, "respond": {"body": name}}


async def taken_by(head: str, *fields: str, routes: list[dict[str, Any]]) -> str:
    """Give the name of the route that takes a request, or the reason why none does."""
    async with talking(answering(OK), routes=routes) as (client, _, _):
        answer = await client.ask(head, *fields)
        if answer.fields["content-type"] == "application/problem+json":
            return str(json.loads(answer.body)["reason"])
        return answer.body.decode()


async def forwarded(target: str, **route: Any) -> str:
    """Give the target that reaches the backend through a route."""
    routes = [{"match": {"path": "/{path...}"}, "pool": "pcs"} | route]
    async with talking(answering(OK), routes=routes) as (client, _, backend):
        await client.ask(f"GET {target}")
        return backend.requests[0].target


class TestPaths:
    TEMPLATE = fixed("item", path="/items/{id}")

    @pytest.mark.parametrize(
        ("target", "taken"),
        [
            ("/items/1", "item"),
            ("/items/a%20b", "item"),
            ("/items/a%2Fb", "item"),
            ("/items/a%2fb", "item"),
            ("/%69tems/1", "item"),
            ("/items/%7Ea", "item"),
            ("/items/1?x=/../y", "item"),
            ("/items/...", "item"),
            ("/items/.a", "item"),
            ("/items/a..", "item"),
            ("/items/a;b", "item"),
            ("http://sample.test/items/1", "item"),
            ("/items/", "no_route"),
            ("/items", "no_route"),
            ("/items/1/", "no_route"),
            ("/items/1/2", "no_route"),
            ("/Items/1", "no_route"),
            ("/items%2F1", "no_route"),
            ("/xitems/1", "no_route"),
            ("/", "no_route"),
        ],
    )
    async def test_template_takes_the_normalised_path(self, target: str, taken: str) -> None:
        """6.2.2: unreserved octets are decoded, `%2F` stays within its segment, `{id}` is one."""
        assert await taken_by(f"GET {target}", routes=[self.TEMPLATE]) == taken

    @pytest.mark.parametrize(
        "target",
        [
            "/items/../secret",
            "/items/./1",
            "/items/1/..",
            "/items/.",
            "/..",
            "/.",
            "/items/%2e%2e/secret",
            "/items/%2E%2e/secret",
            "/items/.%2e",
            "/items/%2e/1",
            "//items/1",
            "/items//1",
            "/items/1//",
            "/items\\1",
            "/items/%5c1",
            "/items/..%2fsecret",
            "/items/a%2F..%2Fb",
            "/items/%2e%2e%2Fsecret",
            "/items/..%5Csecret",
            "/items/..;/secret",
            "/items/..;a=b/secret",
            "/items/.;/1",
            "/items/%2e%2e;/secret",
            "/items/..%3B/secret",
            "/items/..;%2Fsecret",
            "http://sample.test/items/../secret",
        ],
    )
    async def test_ambiguous_path_is_refused(self, target: str) -> None:
        """5.2.4: a path that another parser would resolve to other segments reaches no backend."""
        async with talking(answering(OK), routes=[EVERYTHING]) as (client, gateway, backend):
            answer = await client.ask(f"GET {target}")
            await until(lambda: gateway.records)

            assert (answer.status, json.loads(answer.body)["reason"]) == (400, "ambiguous_path")
            assert gateway.delta.reasons == {"ambiguous_path": 1}
            assert backend.received == b""
            assert (await client.ask("GET /fine")).status == 200

    @pytest.mark.parametrize("target", ["/a/../b", "//a", "/a%2e%2e/%2e%2e/b", "/a\\b", "/a//b/./c"])
    async def test_route_may_allow_ambiguous_paths(self, target: str) -> None:
        """Where the operator says so, such a path is forwarded byte by byte."""
        assert await forwarded(target, allow_ambiguous_paths=True) == target

    async def test_only_the_route_that_matches_may_allow_it(self) -> None:
        """Another route's permission does not count."""
        routes = [
            {"match": {"path": "/files/{path...}"}, "pool": "pcs", "allow_ambiguous_paths": True},
            EVERYTHING,
        ]
        async with talking(echoing, routes=routes) as (client, _, _):
            statuses = [(await client.ask(f"GET {path}")).status for path in ("/files//a", "/other//a")]

        assert statuses == [200, 400]

    FORBIDDEN = (
        fixed("admin", path="/admin/{p...}"),
        fixed("predict", path="/models:predict", methods=["POST"]),
        fixed("item", path="/items/{id}"),
        fixed("other-host", host="other.test", path="/{a}/b"),
    )

    @pytest.mark.parametrize(
        "target",
        [
            "/admin%2Fsecret",
            "/admin%2fsecret",
            "/%61dmin%2Fsecret",
            "/admin;x/secret",
            "/admin;x=/..y/secret",
            "/admin;/secret",
            "/admin%3Bx/secret",
            "/admin;x%2Fsecret",
            "/admin%2F;x",
            "/%2Fadmin/secret",
            "/%2F%2Fadmin/secret",
            "/;x/admin/secret",
            "/items/a%2Fb",
            "http://sample.test/admin%2Fsecret",
        ],
    )
    async def test_path_of_another_route_for_others_is_refused(self, target: str) -> None:
        """2.2, 3.3: a backend that decodes or cuts first would see a path of another route."""
        async with talking(answering(OK), routes=[*self.FORBIDDEN, EVERYTHING]) as (client, gateway, backend):
            answer = await client.ask(f"GET {target}")
            await until(lambda: gateway.records)

            assert (answer.status, json.loads(answer.body)["reason"]) == (400, "ambiguous_path")
            assert gateway.delta.reasons == {"ambiguous_path": 1}
            assert backend.received == b""

    @pytest.mark.parametrize(
        "target",
        [
            "/files/a%2Fb",
            "/files/admin%2Fb",
            "/proxy/http%3A%2F%2Fa.test%2Fb",
            "/files/a;v=1/b",
            "/administrators;x/secret",
            "/admin%252Fsecret",
            "/files/%3Fadmin/",
            "/models%3Apredict",
            "/a%2Fb",
            "/x?y=/admin%2Fsecret;z",
        ],
    )
    async def test_path_of_one_route_for_all_is_forwarded(self, target: str) -> None:
        """2.2: escaped delimiters and parameters stay as they are where no other route is concerned."""
        async with talking(answering(OK), routes=[*self.FORBIDDEN, EVERYTHING]) as (client, _, backend):
            assert (await client.ask(f"GET {target}")).status == 200
            assert backend.requests[0].target == target

    async def test_escaped_delimiter_of_a_template_is_no_way_around_it(self) -> None:
        """2.2: `:` and its like are compared decoded too."""
        assert await taken_by("POST /models:predict", routes=[*self.FORBIDDEN, EVERYTHING]) == "predict"
        escaped = await taken_by("POST /models%3Apredict", routes=[*self.FORBIDDEN, EVERYTHING])

        assert escaped == "ambiguous_path"

    async def test_route_may_allow_what_others_take_for_another_routes(self) -> None:
        """Where the operator knows how the backend reads paths."""
        routes = [*self.FORBIDDEN, EVERYTHING | {"allow_ambiguous_paths": True}]
        async with talking(answering(OK), routes=routes) as (client, _, backend):
            assert (await client.ask("GET /admin%2Fsecret")).status == 200
            assert backend.requests[0].target == "/admin%2Fsecret"

    @pytest.mark.parametrize(
        ("target", "taken"), [("/files", "no_route"), ("/files/", "rest"), ("/files/a/b/c", "rest")]
    )
    async def test_rest_may_be_empty_or_many_segments(self, target: str, taken: str) -> None:
        """`{name...}` is the rest of the path, slashes included."""
        assert await taken_by(f"GET {target}", routes=[fixed("rest", path="/files/{path...}")]) == taken

    async def test_template_is_normalised_too(self) -> None:
        """6.2.2: a template may be written with escapes."""
        assert await taken_by("GET /a~b/c", routes=[fixed("one", path="/a%7Eb/c")]) == "one"


class TestOrder:
    async def test_first_match_wins(self) -> None:
        """Routes are asked in the order of the file."""
        routes = [fixed("first", path="/a/{x}"), fixed("second", path="/a/b"), fixed("third")]

        assert [await taken_by(f"GET {path}", routes=routes) for path in ("/a/b", "/a", "/a/b/c")] == [
            "first",
            "third",
            "third",
        ]


class TestHosts:
    ROUTES = (
        fixed("exact", host="api.test"),
        fixed("wild", host="*.test"),
        fixed("six", host="[::1]"),
        fixed("any", path="/any"),
    )

    @pytest.mark.parametrize(
        ("host", "taken"),
        [
            ("api.test", "exact"),
            ("API.Test:8080", "exact"),
            ("www.test", "wild"),
            ("a.b.test:80", "wild"),
            ("test", "no_route"),
            ("xtest", "no_route"),
            ("api.test.evil", "no_route"),
            ("[::1]:80", "six"),
            ("api.test.", "exact"),
            ("API.test.:80", "exact"),
            ("www.test.", "wild"),
            ("test.", "no_route"),
            ("api.test..", "malformed_host"),
        ],
    )
    async def test_host_is_compared_without_case_and_port(self, host: str, taken: str) -> None:
        """9110 4.2.3, 3986 3.2.2: names are compared whole, but for the last dot; `*.` is a label or more."""
        assert await taken_by("GET /", f"Host: {host}", routes=list(self.ROUTES)) == taken

    async def test_authority_of_the_target_counts(self) -> None:
        """RFC 9112 3.2.2: an absolute form overrides Host."""
        routes = list(self.ROUTES)

        assert await taken_by("GET http://api.test/", "Host: www.test", routes=routes) == "exact"
        assert await taken_by("GET http://api.test./", "Host: www.test", routes=routes) == "exact"

    async def test_hosts_on_one_connection_are_kept_apart(self) -> None:
        """What one Host matched is not what another does, on the same connection and path."""
        async with talking(echoing, routes=list(self.ROUTES)) as (client, _, _):
            bodies = [
                (await client.ask("GET /", f"Host: {host}")).body
                for host in ("api.test", "www.test", "api.test", "www.test")
            ]

        assert bodies == [b"exact", b"wild", b"exact", b"wild"]


class TestMethods:
    async def test_method_that_is_not_routed_is_405_with_allow(self) -> None:
        """9110 15.5.6: Allow lists the methods of all routes that match the path."""
        routes = [
            {"match": {"path": "/a", "methods": ["GET", "HEAD"]}, "pool": "pcs"},
            {"match": {"path": "/{x}", "methods": ["PUT"]}, "pool": "pcs"},
        ]
        async with talking(answering(OK), routes=routes) as (client, _, backend):
            answer = await client.ask("DELETE /a")

            assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD, PUT")
            assert json.loads(answer.body)["reason"] == "method_not_routed"
            assert backend.received == b""

    async def test_methods_are_case_sensitive(self) -> None:
        """9110 9.1: `get` is not GET, and so that no backend takes it for GET, it goes no further."""
        routes = [fixed("only-get", methods=["GET"]), fixed("others")]

        assert await taken_by("get /", routes=routes) == "lower_case_method"

    async def test_later_route_takes_other_methods(self) -> None:
        """A route that does not take the method does not stop the search."""
        routes = [fixed("read", methods=["GET"]), fixed("write", methods=["POST"])]

        assert await taken_by("POST /", routes=routes) == "write"

    async def test_asterisk_is_for_routes_that_take_everything(self) -> None:
        """9110 7.1: `OPTIONS *` is about the server, not about a path."""
        routes = [fixed("some", path="/a/{path...}"), fixed("all", path="/{path...}")]

        assert await taken_by("OPTIONS *", routes=routes) == "all"
        assert await taken_by("OPTIONS *", routes=routes[:1]) == "no_route"


class TestRewriting:
    @pytest.mark.parametrize(
        ("target", "route", "expected"),
        [
            ("/api/a?b=c", {"strip_prefix": "/api"}, "/a?b=c"),
            ("/api", {"strip_prefix": "/api"}, "/"),
            ("/api/", {"strip_prefix": "/api"}, "/"),
            ("/apis/a", {"strip_prefix": "/api"}, "/apis/a"),
            ("/a/%41%20b", {"strip_prefix": "/a"}, "/A%20b"),
            ("/a?b", {"add_prefix": "/v1"}, "/v1/a?b"),
            ("/api/a", {"strip_prefix": "/api", "add_prefix": "/v2"}, "/v2/a"),
            ("/a", {"trailing_slash": "add"}, "/a/"),
            ("/a/?b", {"trailing_slash": "add"}, "/a/?b"),
            ("/a/?b", {"trailing_slash": "remove"}, "/a?b"),
            ("/", {"trailing_slash": "remove"}, "/"),
            ("/a?b/", {"trailing_slash": "add"}, "/a/?b/"),
            (
                "/u/7/files/a/b?c",
                {"match": {"path": "/u/{id}/files/{path...}"}, "rewrite": "/store/{path...}/of/{id}"},
                None,
            ),
            (
                "/u/7/a/b?c",
                {"match": {"path": "/u/{id}/{path...}"}, "rewrite": "/store/{id}/{path...}"},
                "/store/7/a/b?c",
            ),
            ("/u/a%2Fb", {"match": {"path": "/u/{id}"}, "rewrite": "/v/{id}"}, "/v/a%2Fb"),
            ("/u/1", {"match": {"path": "/u/{id}"}, "rewrite": "/fixed"}, "/fixed"),
        ],
    )
    async def test_path_to_the_backend(
        self, target: str, route: dict[str, Any], expected: str | None
    ) -> None:
        """Prefixes go by whole segments, parameters keep their escapes, the query always stays."""
        if expected is None:
            with pytest.raises(ValueError, match="comes last"):
                await forwarded(target, **route)
        else:
            assert await forwarded(target, **route) == expected

    async def test_stripping_never_makes_another_authority(self) -> None:
        """3.3: what is left after stripping begins with exactly one slash."""
        target = await forwarded("/api//evil.test/", strip_prefix="/api", allow_ambiguous_paths=True)

        assert not target.startswith("//")

    async def test_options_for_the_whole_server_is_not_rewritten(self) -> None:
        """9110 7.1: the asterisk is no path."""
        routes = [EVERYTHING | {"add_prefix": "/v1", "trailing_slash": "add"}]
        async with talking(answering(OK), routes=routes) as (client, _, backend):
            await client.ask("OPTIONS *")

            assert backend.requests[0].target == "*"


class TestFieldEdits:
    async def test_request_fields(self) -> None:
        """`set` replaces every field of that name, `remove` takes it away; names have no case."""
        changes = {"set": {"X-Team": "one", "X-New": "two"}, "remove": ["cookie", "X-Gone"]}
        routes = [EVERYTHING | {"request_headers": changes}]
        async with talking(answering(OK), routes=routes) as (client, _, backend):
            for _ in range(2):
                await client.ask("GET /", "x-team: a", "X-TEAM: b", "Cookie: c=d", "X-Stays: e", "x-gone: f")

            for request in backend.requests:
                mine = [line for line in request.lines if line.lower().startswith(("x-te", "x-n", "x-s"))]
                assert mine == ["X-Stays: e", "X-Team: one", "X-New: two"]
                assert not {"cookie", "x-gone"} & request.fields.keys()

    async def test_forwarding_fields_can_be_changed(self) -> None:
        """What the gateway itself adds about the client can be overruled on a route."""
        changes = {"set": {"X-Forwarded-Proto": "https"}, "remove": ["X-Forwarded-For"]}
        routes = [EVERYTHING | {"request_headers": changes}]
        async with talking(answering(OK), routes=routes) as (client, _, backend):
            await client.ask("GET /", "X-Forwarded-For: 1.2.3.4")
            (request,) = backend.requests

            assert [line for line in request.lines if "Proto" in line] == ["X-Forwarded-Proto: https"]
            assert "x-forwarded-for" not in request.fields

    async def test_response_fields(self) -> None:
        """The same on the way out."""
        changes = {"set": {"Server": "gateway"}, "remove": ["X-Powered-By"]}
        response = (
            b"HTTP/1.1 200 OK\r\nserver: a\r\nX-Powered-By: b\r\nX-Stays: c\r\nContent-Length: 2\r\n\r\nok"
        )
        routes = [EVERYTHING | {"response_headers": changes}]
        async with talking(answering(response), routes=routes) as (client, _, _):
            answer = await client.ask("GET /")

            assert [line for line in answer.lines if line.lower().startswith("server:")] == [
                "Server: gateway"
            ]
            assert (answer.fields.get("x-powered-by"), answer.fields["x-stays"]) == (None, "c")
            assert answer.body == b"ok"


class TestUpstreamHost:
    @pytest.mark.parametrize(
        ("pool", "route", "expected"),
        [
            (None, None, "sample.test"),
            ("preserve", None, "sample.test"),
            ("backend", None, "127.0.0.1:{port}"),
            ("inner.test", None, "inner.test"),
            ("backend", "preserve", "sample.test"),
            ("preserve", "backend", "127.0.0.1:{port}"),
            ("backend", "other.test:81", "other.test:81"),
        ],
    )
    async def test_modes(self, pool: str | None, route: str | None, expected: str) -> None:
        """The client's Host, the backend's own or a literal name; a route overrules its pool."""
        pool_config = {"upstream_host": pool} if pool else None
        routes = [EVERYTHING | ({"upstream_host": route} if route else {})]
        async with talking(answering(OK), pool=pool_config, routes=routes) as (client, _, backend):
            for _ in range(2):
                await client.ask("GET /")

            hosts = [[line for line in one.lines if line.lower()[:5] == "host:"] for one in backend.requests]
            assert hosts == [[f"Host: {expected.format(port=backend.port)}"]] * 2
            assert backend.requests[0].fields["x-forwarded-host"] == "sample.test"


class TestLocation:
    @pytest.mark.parametrize(
        ("location", "route", "expected"),
        [
            ("http://sample.test/a", {}, "http://sample.test/a"),
            ("https://sample.test/a", {}, "https://sample.test/a"),
            ("http://SAMPLE.test/a", {}, "http://SAMPLE.test/a"),
            ("http://{backend}/a?b#c", {}, "http://sample.test/a?b#c"),
            ("http://{backend}", {}, "http://sample.test/"),
            ("http://elsewhere.test/a", {}, "http://elsewhere.test/a"),
            ("http://elsewhere.test/v1/a", {"add_prefix": "/v1"}, "http://elsewhere.test/v1/a"),
            ("//elsewhere.test/a", {"strip_prefix": "/api"}, "//elsewhere.test/a"),
            ("/a", {}, "/a"),
            ("a/b", {"strip_prefix": "/api"}, "a/b"),
            ("/a", {"strip_prefix": "/api"}, "/api/a"),
            ("http://{backend}/a", {"strip_prefix": "/api"}, "http://sample.test/api/a"),
            ("/v1/a", {"add_prefix": "/v1"}, "/a"),
            ("/v1", {"add_prefix": "/v1"}, "/"),
            ("/v1?a", {"add_prefix": "/v1"}, "/?a"),
            ("/v10/a", {"add_prefix": "/v1"}, "/v10/a"),
            ("/other", {"add_prefix": "/v1"}, "/other"),
            ("http://inner.test/a", {"upstream_host": "inner.test"}, "http://sample.test/a"),
            ("http://{backend}/a", {"upstream_host": "backend"}, "http://sample.test/a"),
        ],
    )
    @pytest.mark.parametrize("target", ["/api/x"])
    async def test_is_told_in_the_view_of_the_client(
        self, target: str, location: str, route: dict[str, Any], expected: str
    ) -> None:
        """9110 10.2.2: a redirect to the backend becomes one to the gateway; any other is left alone."""

        async def script(peer: Any) -> None:
            await peer.request()
            place = location.replace("{backend}", f"127.0.0.1:{peer.backend.port}")
            await peer.send(
                b"HTTP/1.1 307 X\r\nX-A: 1\r\nlocation: %b\r\nContent-Length: 0\r\n\r\n" % place.encode()
            )

        async with talking(script, routes=[EVERYTHING | route]) as (client, _, _):
            answer = await client.ask(f"GET {target}")

            assert answer.fields["location"] == expected
            assert sum(line.lower().startswith("location") for line in answer.lines) == 1

    async def test_scheme_of_the_client_is_kept(self) -> None:
        """Behind a proxy that speaks TLS with the client, a redirect to the backend becomes https."""

        async def script(peer: Any) -> None:
            await peer.request()
            place = f"http://127.0.0.1:{peer.backend.port}/a".encode()
            await peer.send(b"HTTP/1.1 307 X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % place)

        async with talking(script) as (client, _, _):
            answer = await client.ask("GET /", "X-Forwarded-Proto: https")

            assert answer.fields["location"] == "https://sample.test/a"


class TestFixedAnswers:
    async def test_respond(self) -> None:
        """A route may answer by itself: status, fields and body; no backend is asked, HEAD gets no body."""
        respond = {"status": 403, "body": "no", "headers": {"X-Why": "because"}}
        routes = [{"name": "closed", "respond": respond}]
        async with talking(answering(OK), routes=routes) as (client, gateway, backend):
            get = await client.ask("GET /")
            post = await client.ask("POST /", body=b"12345")
            head = await client.ask("HEAD /")

            assert [(one.status, one.body) for one in (get, post, head)] == [
                (403, b"no"),
                (403, b"no"),
                (403, b""),
            ]
            assert get.fields["content-type"].startswith("text/plain")
            assert (head.fields["content-length"], head.fields["x-why"]) == ("2", "because")
            assert backend.received == b""
            await until(lambda: len(gateway.records) == 3)
            assert gateway.records[0].route == "closed"

    async def test_no_content(self) -> None:
        """9110 15.3.5: a 204 has neither body nor length."""
        routes = [{"respond": {"status": 204}}]
        async with talking(answering(OK), routes=routes) as (client, _, _):
            first, second = await client.ask("GET /"), await client.ask("GET /")

            assert (first.status, second.status) == (204, 204)
            assert "content-length" not in first.fields
