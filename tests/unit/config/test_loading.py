"""Reading a configuration file: what is complete, and what every mistake is answered with."""

import os
from pathlib import Path

from pcs_gateway.config.loading import load
from pcs_gateway.config.model import GatewayConfig
from tests.unit.config.reading import POOLS, loaded, problems_of

DATA = Path(__file__).parents[2] / "data"


class TestACompleteFile:
    def test_pools_alone_are_enough(self, tmp_path: Path) -> None:
        """Every other key has a default, all paths go to the only pool, and the check is TCP."""
        config = loaded(tmp_path, POOLS).config

        route = config.routes[0]
        assert ("default", "/{path...}", "pcs", ()) == (
            route.name,
            route.match.path,
            route.pool,
            route.match.methods,
        )
        assert 1 == len(config.routes)
        assert config.pools["pcs"].health_check.path is None
        assert "127.0.0.1:8001" == config.pools["pcs"].backends[0].name
        assert "finish" == config.pools["pcs"].on_abandon

    def test_the_whole_contract_is_accepted(self) -> None:
        """All keys of the contract load, with the values they have there."""
        config = load(DATA / "contract.yaml", {}).config

        pcs = config.pools["pcs"]
        assert ["one", "127.0.0.1:8002", "127.0.0.1:8003"] == [backend.name for backend in pcs.backends]
        assert [1, 2, 1] == [backend.weight for backend in pcs.backends]
        assert (5.0, 1.0, 30.0) == (
            pcs.health_check.interval,
            pcs.health_check.fast_interval,
            pcs.health_check.max_age,
        )
        assert {"status": "ready"} == pcs.health_check.expect_json
        assert (64 * 2**20, 1024.0) == (config.limits.body_bytes, config.limits.minimum_body_rate)
        assert 3600.0 == config.timeouts.tunnel_idle
        assert ("127.0.0.0/8",) == config.forwarding.trusted_proxies
        assert (502, 503, 504) == pcs.retry.on[2:]
        assert "header:X-Tenant" == config.pools["reports"].hash_on
        assert 8 == len(config.routes)
        assert [True, False] == [config.routes[4].side_effects, config.routes[6].side_effects]
        assert 0.5 == config.alerts.rules[0].threshold
        assert 0.4 == config.scaling["pcs"].targets.response_time_p95

    def test_the_contract_reads_the_environment(self) -> None:
        """Its variables arrive where they stand."""
        environ = {
            "PCS_GATEWAY_ADMIN_TOKEN": "t0ken",
            "REDIS_URL": "redis://r:1/0",
            "PCS_GATEWAY_CACHE_SECRET": "s",
        }

        config = load(DATA / "contract.yaml", environ).config

        assert ("t0ken", "redis://r:1/0", "s") == (
            config.admin.token,
            config.cache.l2.redis,
            config.cache.identity.secret,
        )

    def test_what_the_loader_gives_survives_the_way_to_the_workers(self) -> None:
        """A dump in JSON mode validates to an equal configuration."""
        config = load(DATA / "contract.yaml", {}).config

        assert config == GatewayConfig.model_validate(config.model_dump(mode="json"))

    def test_an_empty_section_has_its_defaults(self, tmp_path: Path) -> None:
        """A section whose keys are all commented out is as good as absent."""
        config = loaded(tmp_path, POOLS + "limits:\n  # headers: 3\ncache:\nlogging:\n  access:\n").config

        assert 100 == config.limits.headers
        assert config.logging.access.enabled

    def test_unnamed_routes_are_named_by_their_place(self, tmp_path: Path) -> None:
        """And go to the only pool, unless they answer themselves."""
        config = loaded(tmp_path, POOLS + "routes: [{match: {path: /a}}, {respond: {status: 204}}]\n").config

        assert [("route-1", "pcs"), ("route-2", None)] == [
            (route.name, route.pool) for route in config.routes
        ]

    def test_a_file_with_a_byte_order_mark_loads(self, tmp_path: Path) -> None:
        """Editors of some systems write one."""
        file = tmp_path / "gateway.yaml"
        file.write_bytes(b"\xef\xbb\xbf" + POOLS.encode())

        assert ["pcs"] == list(load(file, {}).config.pools)

    def test_the_digest_changes_with_the_file(self, tmp_path: Path) -> None:
        """Equal bytes, equal digest; a comment is a change."""
        first, same, other = (loaded(tmp_path, text).digest for text in (POOLS, POOLS, POOLS + "#\n"))

        assert first == same != other


class TestVariables:
    def test_take_the_type_of_their_key(self, tmp_path: Path) -> None:
        """Numbers, booleans, durations and text come from the same kind of text."""
        text = POOLS + (
            "workers: ${WORKERS}\n"
            "limits: {headers: '${HEADERS}', body_bytes: '${BODY}'}\n"
            "forwarding: {server_timing: '${TIMING}'}\n"
            "admin: {token: '${TOKEN}'}\n"
            "logging: {access: {sample: '${SAMPLE:-0.5}'}}\n"
        )
        environ = {"WORKERS": "3", "HEADERS": "7", "BODY": "1KiB", "TIMING": "false", "TOKEN": "123"}

        config = loaded(tmp_path, text, environ).config

        assert (3, 7, 1024, False, "123", 0.5) == (
            config.workers,
            config.limits.headers,
            config.limits.body_bytes,
            config.forwarding.server_timing,
            config.admin.token,
            config.logging.access.sample,
        )

    def test_are_never_read_as_yaml(self, tmp_path: Path) -> None:
        """Braces, colons and hashes in a value stay text."""
        value = "a: {b} # [c]"

        config = loaded(tmp_path, POOLS + "routes: [{respond: {body: '${BODY}'}}]", {"BODY": value}).config

        answer = config.routes[0].respond
        assert answer is not None
        assert value == answer.body

    def test_without_value_and_default_are_an_error_with_line_and_name(self, tmp_path: Path) -> None:
        """One for each variable, and no second one about the key."""
        problems = problems_of(tmp_path, POOLS + "workers: ${A}\nadmin:\n  token: ${B}${C}\n")

        assert [
            (2, "environment variable A is not set"),
            (4, "environment variable B is not set"),
            (4, "environment variable C is not set"),
        ] == [(one.line, one.message) for one in problems]

    def test_in_a_comment_mean_nothing(self, tmp_path: Path) -> None:
        """Only values are looked at."""
        assert ["pcs"] == list(loaded(tmp_path, POOLS + "# ${NOT_SET}\n").config.pools)

    def test_never_show_their_value_in_an_error(self, tmp_path: Path) -> None:
        """Whatever key a secret strays into, the file's text is quoted and not the value."""
        text = POOLS + (
            "workers: ${S}\nlisten: [{address: '${S}'}]\nadmin: {address: '${S}', token: '${S} ä'}\n"
            "forwarding: {trusted_proxies: ['${S}'], forwarded: '${S}'}\n"
            "cache: {l2: {redis: '${S}', timeout: '${S}'}}\n"
            "logging: {access: {sample: '${S}', enabled: '${S}'}}\n"
            "routes: [{pool: '${S}', match: {path: '${S}', methods: ['${S}']}, name: '${S} x'}]\n"
            "scaling: {pcs: {min_instances: '${S}', actuator: {webhook: '${S}'}}}\n"
            "alerts: {rules: [{name: a, metric: '${S}', threshold: '${S}'}]}\n"
        )

        problems = problems_of(tmp_path, text, {"S": "hunter2 secret"})

        assert 17 <= len(problems)
        assert not [problem for problem in problems if "hunter2" in str(problem)]

    def test_do_not_excuse_secrets_that_stand_in_the_file(self, tmp_path: Path) -> None:
        """The value of a secret key and credentials in a URL are not quoted either."""
        text = (
            "pools: {pcs: {backends: [{url: 'http://user:hunter2@a:1'}]}}\n"
            "admin: {token: 'hunter2 x'}\n"
            "alerts: {notify: [{webhook: 'ftp://x/hunter2'}]}\n"
            'routes: [{request_headers: {set: {Authorization: "hunter2\\x01"}}}]\n'
        )

        problems = problems_of(tmp_path, text)

        assert 4 == len(problems)
        assert not [problem for problem in problems if "hunter2" in str(problem)]


def test_the_environment_of_the_process_is_read_only_when_given(tmp_path: Path) -> None:
    """The loader sees the environment that it is handed, and no other."""
    os.environ["PCS_GATEWAY_TEST_VARIABLE"] = "x"
    try:
        assert problems_of(tmp_path, POOLS + "admin: {token: '${PCS_GATEWAY_TEST_VARIABLE}'}", {})
    finally:
        del os.environ["PCS_GATEWAY_TEST_VARIABLE"]
