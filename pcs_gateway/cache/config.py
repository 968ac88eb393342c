"""The sections `cache` and, on a route, `cache`: what is stored, where, and for whom."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from pcs_gateway.section import CREDENTIALS, Boolean, Secret, Section, Text
from pcs_gateway.units import Duration, Rate, Ratio, Size

IDENTITY_ALLOWED = "header:NAME or cookie:NAME"
REDIS_ALLOWED = "redis://host:port/database, rediss://…, unix:///path, or empty: level off"
DATABASE_ALLOWED = "sqlite:///path, postgresql://…, or empty: level off"
TAG_ALLOWED = "a tag without spaces or commas; {name} stands for a parameter of the path"

_IDENTITY = re.compile(r"(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_TAG = re.compile(r"[^\s,]{1,256}")


def _identity(value: Any) -> str:
    if not isinstance(value, str) or not _IDENTITY.fullmatch(value):
        raise ValueError(IDENTITY_ALLOWED)
    return str(value)


def _tag(value: Any) -> str:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise ValueError(TAG_ALLOWED)
    return str(value)


def _redis(value: Any) -> str:
    if not isinstance(value, str) or (not value.startswith(("redis://", "rediss://", "unix://")) and value):
        raise ValueError(REDIS_ALLOWED)
    return str(value)


def _database(value: Any) -> str:
    if not isinstance(value, str) or (not value.startswith(("sqlite:///", "postgresql://")) and value):
        raise ValueError(DATABASE_ALLOWED)
    return str(value)


IdentityField = Annotated[str, BeforeValidator(_identity)]
"""A part of a request that says who asks."""
Tag = Annotated[str, BeforeValidator(_tag)]
"""A surrogate key: a name to purge stored responses by."""


class QueryKeyConfig(Section):
    """Which parts of the query belong to the cache key; all of them unless one list is given."""

    include: tuple[Text, ...] | None = None
    """Only these."""

    exclude: tuple[Text, ...] | None = None
    """All but these."""

    @field_validator("exclude")
    @classmethod
    def _not_both(cls, exclude: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if exclude is not None and info.data.get("include") is not None:
            raise ValueError("either include or exclude")
        return exclude


class RouteCacheConfig(Section):
    """What is stored of a route's responses."""

    policy: Literal["rfc9111", "override", "off"] = "rfc9111"
    """rfc9111: as the response's own fields say; override: as the keys here say; off: nothing is stored."""

    ttl: Annotated[Duration, Field(gt=0)] | None = Field(default=None, validate_default=True)
    """override: how long a stored response is fresh."""

    stale_while_revalidate: Duration = 0.0
    """How long after that it is still served while a fresh one is fetched."""

    stale_if_error: Duration = 0.0
    """How long after that it is served when no backend answers well."""

    scope: Literal["public", "tenant", "user"] = "user"
    """Who may be given a stored response: everybody, the same tenant, or the same user."""

    tags: tuple[Tag, ...] = ()
    """Surrogate keys to purge by; {name} stands for a parameter of the path."""

    query: QueryKeyConfig = QueryKeyConfig()
    """Which parts of the query belong to the key."""

    key_body: Boolean = False
    """Whether the request's body belongs to the key, so that a POST can be stored."""

    @field_validator("ttl")
    @classmethod
    def _needed_by_override(cls, ttl: float | None, info: ValidationInfo) -> float | None:
        if ttl is None and info.data.get("policy") == "override":
            raise ValueError('a duration such as "60s"; policy override needs it')
        return ttl


class MemoryLevelConfig(Section):
    """L1: the gateway's own memory."""

    max_bytes: Size = 256 * 2**20
    """Of the whole gateway; each worker holds its part."""

    max_object_bytes: Size = Field(default_factory=lambda data: min(2**20, data["max_bytes"]))
    """Larger responses are not stored. Default: 1MiB, or `max_bytes` when smaller."""

    ttl: Duration = 300.0
    """Freshness where nothing else says it, and its ceiling."""

    @field_validator("max_object_bytes")
    @classmethod
    def _within_the_level(cls, size: int, info: ValidationInfo) -> int:
        if size > info.data.get("max_bytes", size):
            raise ValueError("at most max_bytes")
        return size


class RedisLevelConfig(Section):
    """L2: a Redis that several gateways may share. Its loss costs speed, never an error."""

    redis: Annotated[str, BeforeValidator(_redis), CREDENTIALS] = ""
    """Where it is: redis://host:port/database; empty: level off."""

    prefix: Text = "pcs-gateway:"
    """Begin of every key; gateways with the same prefix share stored responses and purges."""

    timeout: Annotated[Duration, Field(gt=0)] = 0.05
    """How long one command may take."""

    ttl: Duration = 3600.0
    """Ceiling of the freshness in this level."""


class DatabaseLevelConfig(Section):
    """L3: a database that survives a restart."""

    database: Annotated[str, BeforeValidator(_database), CREDENTIALS] = ""
    """sqlite:///relative/path, sqlite:////absolute/path, or postgresql://…; empty: level off."""

    max_bytes: Size = 2 * 2**30
    """Most that it holds."""

    ttl: Duration = 86400.0
    """Ceiling of the freshness in this level."""


class IdentityConfig(Section):
    """What "tenant" and "user" mean in `scope`: the listed fields, and their absence, hashed together."""

    tenant: tuple[IdentityField, ...] = ("header:X-Tenant",)
    """Fields that name the tenant; one that is no credential counts only from trusted proxies."""

    user: tuple[IdentityField, ...] = ("header:Authorization", "header:X-API-Key", "header:Cookie")
    """Fields that name the user."""

    secret: Secret = ""
    """Key of the hash; empty: made once and kept in the state directory. Required with L2."""


class WarmConfig(Section):
    """Filling the cache before traffic comes."""

    urls: Text
    """A file with one path on each line."""

    rate: Annotated[Rate, Field(gt=0)] = 20.0
    """How fast."""


class PreloadConfig(Section):
    """Fetching what is likely to be asked for next."""

    enabled: Boolean = False
    """Whether it is done."""

    budget: Ratio = 0.05
    """Share of the traffic that it may add."""

    minimum_precision: Ratio = 0.5
    """Share of what was fetched ahead that must have been used; below it preloading stops."""


class CacheConfig(Section):
    """Stored responses in three levels. Only routes with `cache` use them."""

    l1: MemoryLevelConfig = MemoryLevelConfig()
    """Memory."""

    l2: RedisLevelConfig = RedisLevelConfig()
    """Redis."""

    l3: DatabaseLevelConfig = DatabaseLevelConfig()
    """A database."""

    identity: IdentityConfig = Field(default=IdentityConfig(), validate_default=True)
    """Who asks."""

    warm: WarmConfig | None = None
    """Filling before traffic comes; absent: off."""

    preload: PreloadConfig = PreloadConfig()
    """Fetching ahead."""

    @field_validator("identity")
    @classmethod
    def _shared_secret_with_l2(cls, identity: IdentityConfig, info: ValidationInfo) -> IdentityConfig:
        l2 = info.data.get("l2")
        if l2 is not None and l2.redis and not identity.secret:
            raise ValueError(
                "identity.secret is needed with l2.redis: all gateways that share it need the same"
            )
        return identity
