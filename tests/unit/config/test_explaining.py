"""What every mistake in a configuration file is answered with."""

from pathlib import Path

import pytest

from pcs_gateway.config.loading import load
from pcs_gateway.errors import ConfigurationError, Problem
from tests.unit.config.reading import POOLS, only, problems_of


class TestAnError:
    def test_says_where_what_was_found_and_what_is_allowed(self, tmp_path: Path) -> None:
        """File, line, path, the text of the file, and the range."""
        problem = only(tmp_path, "pools:\n  pcs:\n    backends:\n      - {url: 'http://a:1', weight: 0}\n")

        expected = Problem(
            str(tmp_path / "gateway.yaml"),
            4,
            "pools.pcs.backends[0].weight",
            "0",
            "a whole number, from 1 to 1000",
            "not allowed",
        )
        assert expected == problem

    def test_does_not_hide_another(self, tmp_path: Path) -> None:
        """Mistakes of every sort are told at once, in the order of their lines."""
        text = (
            "workers: 0\n"
            "listn: []\n"
            "pools:\n"
            "  pcs:\n"
            "    strategy: consistent_hash\n"
            "    backends:\n"
            "      - {url: ftp://x}\n"
            "      - {url: http://a:1, name: two}\n"
            "      - {url: http://b:1, name: two}\n"
            "    connections: {max_per_backend: 4, idle: 5}\n"
            "    health_check: {rise: 0, timeout: 0s}\n"
            "routes:\n"
            "  - {name: a, pool: psc}\n"
            "  - {name: a, match: {path: no-slash}}\n"
            "drain_delay: ${NOT_SET}\n"
            "workers: 2\n"
            "scaling: {pcx: {min_instances: 3, max_instances: 2}}\n"
            "admin: {address: 0.0.0.0:9901}\n"
        )

        problems = problems_of(tmp_path, text)

        expected = [
            (1, "workers"),
            (2, "listn"),
            (4, "pools.pcs.hash_on"),
            (7, "pools.pcs.backends[0].url"),
            (9, "pools.pcs.backends[2].name"),
            (10, "pools.pcs.connections.idle"),
            (11, "pools.pcs.health_check.rise"),
            (11, "pools.pcs.health_check.timeout"),
            (13, "routes[0].pool"),
            (14, "routes[1].match.path"),
            (14, "routes[1].name"),
            (15, "drain_delay"),
            (16, "workers"),
            (17, "scaling.pcx"),
            (17, "scaling.pcx.max_instances"),
            (18, "admin.token"),
        ]
        found = [(problem.line, problem.path) for problem in problems]
        assert [line for line, _ in found] == sorted(line for line, _ in found)
        assert sorted(expected) == sorted(found)

    @pytest.mark.parametrize(
        ("text", "path", "known"),
        [
            (POOLS + "time_outs: {}", "time_outs", "timeouts"),
            (POOLS + "limits: {header_byte: 1KiB}", "limits.header_byte", "header_bytes"),
            ("pools: {pcs: {backend: []}}", "pools.pcs.backend", "backends"),
            ("pools: {pcs: {backends: [{uri: x}]}}", "pools.pcs.backends[0].uri", "url"),
            (POOLS + "routes: [{cache: {tll: 5s}}]", "routes[0].cache.tll", "ttl"),
            (
                POOLS + "scaling: {pcs: {targets: {response_time_p96: 1s}}}",
                "scaling.pcs.targets.response_time_p96",
                "response_time_p95",
            ),
        ],
    )
    def test_suggests_the_nearest_known_key(self, tmp_path: Path, text: str, path: str, known: str) -> None:
        """An unknown key is an error with the key that was probably meant, at any depth."""
        problem = next(problem for problem in problems_of(tmp_path, text) if problem.path == path)

        assert f"unknown key (did you mean {known}?)" == problem.message
        assert known in problem.allowed.split(", ")

    def test_suggests_nothing_where_nothing_is_near(self, tmp_path: Path) -> None:
        """It lists what there is."""
        problem = only(tmp_path, POOLS + "state: {xyzzy: 1}")

        assert ("unknown key", '"xyzzy"', "directory") == (problem.message, problem.found, problem.allowed)

    @pytest.mark.parametrize(
        ("text", "path", "message"),
        [
            (
                "pools: {a: {backends: [{url: 'http://x:1'}]}}\npools: {}",
                "pools",
                "key given twice, first on line 1",
            ),
            (
                POOLS + "limits: {headers: 1, headers: 1}",
                "limits.headers",
                "key given twice, first on line 2",
            ),
            (POOLS + "workers: !!python/name:os.system x", "workers", "tags have no meaning here"),
        ],
    )
    def test_covers_what_yaml_itself_would_pass(
        self, tmp_path: Path, text: str, path: str, message: str
    ) -> None:
        """Duplicate keys and tags."""
        problem = problems_of(tmp_path, text)[0]

        assert (path, message) == (problem.path, problem.message)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("pools: {pcs: [", 1),
            ("a: b: c", 1),
            ("a: 1\n\tb: 2", 2),
            ("a: 'x", 1),
            ("a: *b", 1),
            ("a: 1\n---\nb: 2", 2),
        ],
    )
    def test_of_yaml_syntax_has_its_line(self, tmp_path: Path, text: str, line: int) -> None:
        """What is no YAML at all is one problem."""
        problem = only(tmp_path, text)

        assert problem.message.startswith("not valid YAML: ")
        assert line == problem.line

    @pytest.mark.parametrize(
        ("text", "question"),
        [
            ("a: b: c", "(indentation, or a colon in a value without quotes?)"),
            ("a: 1\n  b: 2", "(indentation, or a colon in a value without quotes?)"),
            ("a: 1\nb\nc: 2", "(indentation, or a key without its colon?)"),
            ("a:\n\tb: 2", "(indent by spaces)"),
        ],
    )
    def test_of_yaml_syntax_asks_what_it_most_often_is(
        self, tmp_path: Path, text: str, question: str
    ) -> None:
        """The library's own words help only those who know its grammar."""
        assert only(tmp_path, text).message.endswith(question)

    def test_of_a_bare_variable_between_braces_says_what_helps(self, tmp_path: Path) -> None:
        """YAML reads the brace as a mapping; quotes are needed."""
        problem = only(tmp_path, "pools: {pcs: {backends: [{url: ${URL}}]}}")

        assert "a variable in quotes" in problem.allowed

    @pytest.mark.parametrize(
        ("text", "message"), [("", "missing"), ("[]", "not a configuration"), ("x", "not a configuration")]
    )
    def test_of_a_file_that_configures_nothing(self, tmp_path: Path, text: str, message: str) -> None:
        """An empty file lacks its pools; a list is no configuration."""
        assert message == only(tmp_path, text).message

    @pytest.mark.parametrize(
        ("text", "path", "allowed"),
        [
            ("workers: two", "workers", "auto, or a whole number"),
            ("workers: 1.5", "workers", "auto, or a whole number"),
            ("workers: true", "workers", "auto, or a whole number"),
            ("drain_delay: 5", "drain_delay", "a duration with its unit"),
            ("drain_delay: [5s]", "drain_delay", "a duration with its unit"),
            ("drain_delay: -5s", "drain_delay", "a duration with its unit"),
            ("timeouts: {connect: 0s}", "timeouts.connect", "more than 0"),
            ("limits: {header_bytes: 10B}", "limits.header_bytes", "from 256B to 1MiB"),
            ("limits: {headers: '100'}", "limits.headers", "a whole number"),
            ("limits: 5", "limits", "a mapping"),
            ("limits: {headers: 1.5}", "limits.headers", "a whole number, "),
            ("listen: []", "listen", "a list (1 to 32 items)"),
            ("listen: {address: x}", "listen", "a list"),
            ("listen: [{address: 8080}]", "listen[0].address", "host:port"),
            ("listen: [{address: '0.0.0.0:65536'}]", "listen[0].address", "host:port"),
            ("forwarding: {server_timing: yes}", "forwarding.server_timing", "true or false"),
            ("forwarding: {server_timing: 1}", "forwarding.server_timing", "true or false"),
            ("forwarding: {forwarded: rfc}", "forwarding.forwarded", "x-forwarded, rfc7239, both or none"),
            (
                "forwarding: {trusted_proxies: [10.0.0.0/33]}",
                "forwarding.trusted_proxies[0]",
                "an IP address or network",
            ),
            (
                "forwarding: {request_id_header: 'a b'}",
                "forwarding.request_id_header",
                "the name of a header field",
            ),
            ("logging: {access: {sample: 1.5}}", "logging.access.sample", "a ratio from 0 to 1"),
            ("logging: {level: loud}", "logging.level", "debug, info, warning or error"),
            ("admin: {token: 12}", "admin.token", "text (put it in quotes)"),
            ("state: {directory: ''}", "state.directory", "the path of a directory"),
            ("routes: [{respond: {status: 700}}]", "routes[0].respond.status", "from 200 to 599"),
            ("routes: [{match: {methods: [get]}}]", "routes[0].match.methods[0]", "a method in capitals"),
            ("routes: [{match: {host: 'a:80'}}]", "routes[0].match.host", "a host name without port"),
            ("routes: [{cache: {policy: override}}]", "routes[0].cache.ttl", "policy override needs it"),
            ("routes: [{rewrite: '/x/{id}'}]", "routes[0].rewrite", "only parameters of match.path ({path})"),
            ("routes: [{rewrite: /x, strip_prefix: /y}]", "routes[0].rewrite", "either rewrite"),
            ("routes: [{invalidates: ['p:{id}']}]", "routes[0].invalidates", "only parameters of match.path"),
            (
                "routes: [{request_headers: {set: {Host: x}}}]",
                "routes[0].request_headers.set.Host",
                "but Host",
            ),
            (
                "routes: [{response_headers: {remove: [Connection]}}]",
                "routes[0].response_headers.remove[0]",
                "any field but",
            ),
            ("routes: [{strip_prefix: '/{a}'}]", "routes[0].strip_prefix", "a path without parameters"),
            (
                "alerts: {notify: [{severities: [low]}]}",
                "alerts.notify[0].log",
                "either webhook: URL or log: true",
            ),
            (
                "cache: {l2: {redis: 'redis://x'}}",
                "cache.identity",
                "identity.secret is needed with l2.redis",
            ),
        ],
    )
    def test_of_type_range_or_sense_says_what_is_allowed(
        self, tmp_path: Path, text: str, path: str, allowed: str
    ) -> None:
        """The path is that of the key at fault, and what is allowed is said in words."""
        problem = only(tmp_path, POOLS + text)

        assert path == problem.path
        assert allowed in problem.allowed

    def test_of_a_file_that_is_not_named_asks_for_a_file(self, tmp_path: Path) -> None:
        """Not for text in quotes, which a path does not need."""
        problem = only(
            tmp_path, POOLS + "listen: [{address: '127.0.0.1:8443', tls: {certificate: a.pem, key: }}]"
        )

        assert ("nothing", "the path of a file") == (problem.found, problem.allowed)

    def test_of_a_mapping_without_members_is_told_as_such(self, tmp_path: Path) -> None:
        """What was found is not what is allowed."""
        problem = only(tmp_path, "pools: {}")

        assert ("an empty mapping", "a mapping (1 to 64 members)") == (problem.found, problem.allowed)

    @pytest.mark.parametrize(
        ("pool", "path", "allowed"),
        [
            ("backends: []", "backends", "a list (1 to 512 items)"),
            ("backends: [{url: 127.0.0.1:8001}]", "backends[0].url", "http://host:port"),
            ("backends: [{url: 'http://a:1/api'}]", "backends[0].url", "without path"),
            ("backends: [{url: 'http://u:p@a:1'}]", "backends[0].url", "credentials"),
            ("backends: [{url: 'http://a:0'}]", "backends[0].url", "http://host:port"),
            ("backends: [{url: 'ftp://a:1'}]", "backends[0].url", "or https://host:port"),
            ("tls: {server_name: '*.a'}", "tls.server_name", "a host name, or an IP address"),
            ("tls: {minimum_version: '1.1'}", "tls.minimum_version", '"1.2" or "1.3" (in quotes)'),
            ("tls: {minimum_version: 1.3}", "tls.minimum_version", '"1.2" or "1.3" (in quotes)'),
            ("tls: {ca: ''}", "tls.ca", "the path of a file"),
            ("tls: {ca: 5}", "tls.ca", "the path of a file"),
            ("backends: ['http://a:1']", "backends[0]", "a mapping, such as {url: http://host:port}"),
            ("hedge: true", "hedge", "a mapping, such as {after: p95}"),
            ("health_check: {path: relative}", "health_check.path", "a path that begins with /"),
            ("health_check: {fall: 0}", "health_check.fall", "from 1 to 100"),
            ("health_check: {fast_interval: 6s}", "health_check.fast_interval", "at most the interval"),
            (
                "health_check: {interval: 20s, max_age: 10s}",
                "health_check.max_age",
                "at least interval + timeout",
            ),
            ("health_check: {expect_json: {a: 1}}", "health_check.expect_json", "while there is no path"),
            ("strategy: consistent_hash", "hash_on", "strategy consistent_hash needs it"),
            ("hash_on: X-Tenant", "hash_on", "header:NAME"),
            ("upstream_host: 'a b'", "upstream_host", "preserve, backend"),
            ("retry: {on: [404]}", "retry.on[0]", "a status code from 500 to 599"),
            ("retry: {backoff: {base: 1s, maximum: 25ms}}", "retry.backoff.maximum", "at least base"),
            ("hedge: {after: p200}", "hedge.after", "a percentile"),
            ("hedge: {after: 0s}", "hedge.after", "a duration of more than 0"),
            ("hedge: {after: 999999999m}", "hedge.after", "a duration of more than 0"),
            ("hedge: {methods: [GET, POST]}", "hedge.methods[1]", "GET, HEAD or OPTIONS"),
            ("concurrency: {mode: adaptive, initial: 2}", "concurrency.initial", "from minimum to maximum"),
            ("concurrency: {mode: fixed}", "concurrency.maximum", "from 1 to 1000000; mode fixed needs it"),
            ("concurrency: {maximum: 10000000}", "concurrency.maximum", "a whole number, from 1 to 1000000"),
            (
                "outlier_detection: {success_rate: {stdev_factor: x}}",
                "outlier_detection.success_rate.stdev_factor",
                "a number, more than 0, at most 10",
            ),
            ("panic_threshold: '0.5'", "panic_threshold", "a ratio from 0 to 1"),
            ("on_abandon: kill", "on_abandon", "finish or cancel"),
            ("resources: {}", "resources.url", "a path that begins with /"),
        ],
    )
    def test_in_a_pool_says_what_is_allowed(self, tmp_path: Path, pool: str, path: str, allowed: str) -> None:
        """The same for the keys of a pool."""
        backends = "" if pool.startswith("backends") else "\n    backends: [{url: 'http://a:1'}]"

        problem = only(tmp_path, f"pools:\n  pcs:\n    {pool}{backends}\n")

        assert f"pools.pcs.{path}" == problem.path
        assert allowed in problem.allowed

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: 1\nb: \xc3("])
    def test_of_a_file_that_is_no_text(self, tmp_path: Path, content: bytes) -> None:
        """Bytes that are not UTF-8 have a line too."""
        file = tmp_path / "gateway.yaml"
        file.write_bytes(content)

        with pytest.raises(ConfigurationError, match="not text: allowed: UTF-8 text"):
            load(file, {})

    def test_of_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        """A missing file and a directory are problems like any other."""
        with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
            load(tmp_path / "absent.yaml", {})
        with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
            load(tmp_path, {})

    def test_of_size_comes_before_the_work(self, tmp_path: Path) -> None:
        """A giant file is refused unread."""
        assert "file too large" == only(tmp_path, "#" * (512 * 1024 + 1)).message

    def test_of_nested_aliases_comes_before_the_memory_is_full(self, tmp_path: Path) -> None:
        """Nine levels of ten aliases would be a billion values."""
        levels = "".join(
            f"a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * 10)}]\n" for level in range(9)
        )

        assert "too many values" == only(tmp_path, "a0: &a0 [x]\n" + levels).message

    def test_of_an_alias_to_itself_ends(self, tmp_path: Path) -> None:
        """A cycle is only deep nesting."""
        assert "nested too deeply" == only(tmp_path, "pools: &a [*a]\n").message

    def test_of_deep_nesting_ends(self, tmp_path: Path) -> None:
        """Brackets beyond what the parser itself can take are refused too."""
        assert "nested too deeply" == only(tmp_path, "a: " + "[" * 50_000).message
