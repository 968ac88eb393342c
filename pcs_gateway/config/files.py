"""
The files that a configuration names for TLS: read, judged, and told about like the configuration itself.

What they hold goes to the workers with the configuration. So a gateway never depends on what lies on the
disk at another moment: it uses what was good when it was read, all workers the same, until that is replaced.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as FilePath

from pcs_gateway.backends.config import PoolConfig
from pcs_gateway.config.loading import LoadedConfig
from pcs_gateway.config.model import GatewayConfig
from pcs_gateway.config.references import Path, path_text
from pcs_gateway.errors import ConfigurationError, Problem
from pcs_gateway.tls.certificates import Certificate, UnusableError, inspect, load_authorities
from pcs_gateway.tls.config import TlsConfig

MOST_BYTES = 2**20
"""Of one file: the authorities of a whole system are a quarter of it."""

VERIFY_OFF = "certificates of https:// backends are not verified: whoever is reached counts as the backend"
NO_HTTPS_BACKEND = "no backend of this pool has an https:// URL"


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """
    What the named files hold.

    Attributes:
        content: By path, as the configuration names it.
        notices: One line for each thing that an operator should know, and that is no problem.
    """

    content: Mapping[str, bytes]
    notices: tuple[str, ...] = ()


def named_files(config: GatewayConfig) -> Iterator[str]:
    """Yield the path of every file that is read for TLS."""
    for listener in config.listen:
        if listener.tls is not None:
            yield from listener.tls.files()
    for pool in config.pools.values():
        if pool.speaks_tls:
            yield from pool.tls.files()


def read_files(loaded: LoadedConfig, now: float) -> NamedFiles:
    """
    Read and judge every file that a configuration names for TLS.

    Args:
        now: Unix seconds.

    Raises:
        ConfigurationError: A file cannot be read or used; all problems are in it.
    """
    reading = _Reading(loaded, now)
    for index, listener in enumerate(loaded.config.listen):
        if listener.tls is not None:
            reading.listener(("listen", index, "tls"), listener.tls)
    for name, pool in loaded.config.pools.items():
        reading.pool(("pools", name, "tls"), pool)
    if reading.problems:
        raise ConfigurationError(sorted(reading.problems, key=lambda one: one.line))
    return NamedFiles(reading.content, tuple(reading.notices))


@dataclass
class _Reading:
    """One pass over all files."""

    loaded: LoadedConfig
    now: float
    content: dict[str, bytes] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def listener(self, path: Path, tls: TlsConfig) -> None:
        self._pair(path, tls.certificate, tls.key)
        for index, pair in enumerate(tls.certificates):
            place = (*path, "certificates", index)
            told = self._pair(place, pair.certificate, pair.key)
            if told is not None and not told.names:
                self._add((*place, "certificate"), "has no DNS names, so no client would ever be shown it")
        if tls.client_certificates is not None:
            self._authorities((*path, "client_certificates", "ca"), tls.client_certificates.ca)

    def pool(self, path: Path, pool: PoolConfig) -> None:
        tls = pool.tls
        if not pool.speaks_tls:
            if path in self.loaded.lines:
                self.notices.append(f"{self._place(path)} has no effect: {NO_HTTPS_BACKEND}")
            return
        if tls.ca is not None:
            self._authorities((*path, "ca"), tls.ca)
        if not tls.verify:
            self.notices.append(f"{self._place((*path, 'verify'))}: {VERIFY_OFF}")

    def _pair(self, path: Path, certificate: str, key: str) -> Certificate | None:
        chain = self._read((*path, "certificate"), certificate)
        private = self._read((*path, "key"), key)
        if chain is None or private is None:
            return None
        try:
            told = inspect(chain, private)
        except UnusableError as error:
            self._add((*path, "key" if error.blames_key else "certificate"), str(error))
            return None
        self.notices += self._expiry((*path, "certificate"), told)
        return told

    def _expiry(self, path: Path, told: Certificate) -> Iterator[str]:
        if self.now >= told.not_after:
            yield f"{self._place(path)}: this certificate expired at {_date(told.not_after)}"
        elif self.now < told.not_before:
            yield f"{self._place(path)}: this certificate is not valid before {_date(told.not_before)}"

    def _authorities(self, path: Path, file: str) -> None:
        content = self._read(path, file)
        if content is not None:
            try:
                load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), content)
            except UnusableError as error:
                self._add(path, str(error))

    def _read(self, path: Path, file: str) -> bytes | None:
        try:
            with FilePath(file).open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a file name"
            self._add(path, f"cannot be read: {reason}")
            return None
        if len(content) > MOST_BYTES:
            self._add(path, "cannot be used: larger than 1 MiB")
            return None
        self.content[file] = content
        return content

    def _add(self, path: Path, message: str) -> None:
        line, found = self.loaded.lines.get(path, 0), f'"{written_at(self.loaded, path)}"'
        self.problems.append(Problem(str(self.loaded.path), line, path_text(path), found, "", message))

    def _place(self, path: Path) -> str:
        return f"{self.loaded.path}:{self.loaded.lines.get(path, 0)}: {path_text(path)}"


def written_at(loaded: LoadedConfig, path: Path) -> object:
    """Return what a configuration says at `path`, as it may be shown."""
    if path in loaded.environment:
        return loaded.environment[path]
    value: object = loaded.config
    for part in path:
        value = value[part] if isinstance(value, tuple | dict) else getattr(value, str(part))  # type: ignore[index]
    return value


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
