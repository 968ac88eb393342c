"""Names that point nowhere, names given twice, sums over all pools."""

from pathlib import Path

import pytest

from pcs_gateway.tls.config import subject_names
from tests.unit.config.reading import POOLS, loaded, only, problems_of

RULE = "{name: a, metric: errors.error_rate, threshold: 1}"
LIMITS = ", ".join(["{rate: 1/s}"] * 10)
TWO_POOLS = "pools: {a: {backends: [{url: 'http://a:1'}]}, b: {backends: [{url: 'http://b:1'}]}}\n"


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "path", "message"),
        [
            (POOLS + "routes: [{pool: pc}]", "routes[0].pool", "no such pool (did you mean pcs?)"),
            (
                POOLS + "routes: [{name: a}, {name: b}, {name: a}]",
                "routes[2].name",
                "given twice: the same as routes[0].name",
            ),
            (POOLS + "routes: [{pool: pcs, respond: {}}]", "routes[0].respond", "not allowed"),
            (POOLS + "scaling: {pc: {}}", "scaling.pc", "no such pool (did you mean pcs?)"),
            (
                POOLS + f"alerts: {{rules: [{RULE}, {RULE}]}}",
                "alerts.rules[1].name",
                "given twice: the same as alerts.rules[0].name",
            ),
            (
                POOLS + "listen: [{address: 'a:1'}, {address: 'a:1'}]",
                "listen[1].address",
                "given twice: the same as listen[0].address",
            ),
            (
                POOLS + "listen: [{address: '0.0.0.0:9901'}]",
                "listen[0].address",
                "already the address of admin",
            ),
            (
                "pools: {pcs: {strategy: least_conections, backends: [{url: 'http://a:1'}]}}",
                "pools.pcs.strategy",
                "no such strategy (did you mean least_connections?)",
            ),
            (
                "pools: {pcs: {backends: [{url: 'http://a:80'}, {url: 'http://A'}]}}",
                "pools.pcs.backends[1].url",
                "given twice: the same as pools.pcs.backends[0].url",
            ),
            (
                "pools: {pcs: {backends: [{url: 'http://a:1', name: 'b:1'}, {url: 'http://b:1'}]}}",
                "pools.pcs.backends[1].name",
                "given twice: the same as pools.pcs.backends[0].name",
            ),
            (
                POOLS + f"routes: [{', '.join([f'{{rate_limits: [{LIMITS}]}}'] * 7)}]",
                "rate_limits",
                "70 rate limits, those of routes included",
            ),
            (TWO_POOLS, "routes", "there are several pools and no routes"),
            (TWO_POOLS + "routes: [{}]", "routes[0].pool", "missing"),
        ],
    )
    def test_must_hold(self, tmp_path: Path, text: str, path: str, message: str) -> None:
        """Names that point nowhere, and names given twice."""
        problem = only(tmp_path, text)

        assert (path, message) == (problem.path, problem.message)

    def test_two_listeners_may_ask_for_any_free_port(self, tmp_path: Path) -> None:
        """Port 0 is never the same port twice."""
        text = POOLS + "listen: [{address: 'a:0'}, {address: 'a:0'}]\nadmin: {address: '127.0.0.1:0'}\n"

        assert 2 == len(loaded(tmp_path, text).config.listen)

    def test_sums_over_all_pools_are_limited(self, tmp_path: Path) -> None:
        """64 pools and 512 backends: what the scoreboard holds."""
        pool = "{{backends: [{}]}}"
        many = ", ".join(f"p{n}: {pool.format(f'{{url: http://h{n}:1}}')}" for n in range(65))
        assert "pools" in {problem.path for problem in problems_of(tmp_path, f"pools: {{{many}}}")}

        half = ", ".join(f"{{url: 'http://h{n}:1'}}" for n in range(257))
        text = f"pools: {{a: {pool.format(half)}, b: {pool.format(half)}}}\nroutes: [{{pool: a}}]"
        assert ["514 backends in all pools"] == [problem.message for problem in problems_of(tmp_path, text)]

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.8.8.8:1"])
    def test_an_empty_token_is_fine_on_loopback(self, tmp_path: Path, address: str) -> None:
        """Only this machine can reach it."""
        assert "" == loaded(tmp_path, POOLS + f"admin: {{address: '{address}'}}").config.admin.token

    @pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "admin.example.com:1"])
    def test_an_empty_token_is_an_error_anywhere_else(self, tmp_path: Path, address: str) -> None:
        """With a token the same address is fine."""
        assert "admin.token" == only(tmp_path, POOLS + f"admin: {{address: '{address}'}}").path
        assert (
            "x" == loaded(tmp_path, POOLS + f"admin: {{address: '{address}', token: x}}").config.admin.token
        )


LISTENING = POOLS + (
    "listen: [{address: 'a:1', tls: {certificate: c, key: k, "
    "client_certificates: {ca: c, subject_header: %s}}}]\n"
)
SUBJECT = "listen[0].tls.client_certificates.subject_header"


class TestOwnFields:
    @pytest.mark.parametrize(
        "name",
        [
            "Authorization",
            "X-Real-IP",
            "Range",
            "Max-Forwards",
            "X_Forwarded_For",
            "x-forwarded-prefix",
            "Cookie",
            "Date",
            "Trailer",
            "Content-Length",
            "Host",
            "traceparent",
            "User_Agent",
        ],
    )
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            (LISTENING, SUBJECT),
            (POOLS + "forwarding: {request_id_header: %s}", "forwarding.request_id_header"),
        ],
    )
    def test_have_no_other_meaning(self, tmp_path: Path, text: str, path: str, name: str) -> None:
        """What clients send under these names is dropped, or taken for something else."""
        problem = only(tmp_path, text % name)

        assert (path, f'"{name}"') == (problem.path, problem.found)
        assert "a field with a meaning of its own" == problem.message
        assert problem.allowed

    @pytest.mark.parametrize(
        ("subject", "request_id"),
        [
            ("X-Request-ID", ""),
            ("x_request_id", ""),
            ("X-Correlation", "forwarding: {request_id_header: x_correlation}"),
        ],
    )
    def test_are_one_for_each_purpose(self, tmp_path: Path, subject: str, request_id: str) -> None:
        """The request id is kept from clients, so a subject under its name could be forged."""
        problem = only(tmp_path, LISTENING % subject + request_id)

        assert (SUBJECT, "already the field of forwarding.request_id_header") == (
            problem.path,
            problem.message,
        )

    @pytest.mark.parametrize(
        "name", ["X-Forwarded-For", "connection", "X_API_Key", "X-Request-ID", "traceparent", "Forwarded"]
    )
    @pytest.mark.parametrize("section", ["rate_limits: [%s]", "routes: [{rate_limits: [%s]}]"])
    def test_rate_limits_go_by_fields_of_the_clients(self, tmp_path: Path, section: str, name: str) -> None:
        """A field that may come twice, or be written in another way, would be a way around the limit."""
        problem = only(tmp_path, POOLS + section % f"{{rate: 1/s, key: 'header:{name}'}}")

        assert problem.path.endswith("rate_limits[0].key")
        assert name in problem.message
        assert "X-API-Key" in problem.allowed

    def test_others_are_free(self, tmp_path: Path) -> None:
        """The default name of the request id too, when that has another."""
        text = LISTENING % "X-Request-ID" + "forwarding: {request_id_header: X-Correlation}"
        config = loaded(tmp_path, text).config

        assert config.listen[0].tls is not None
        assert frozenset({b"x-request-id"}) == subject_names([config.listen[0].tls])
