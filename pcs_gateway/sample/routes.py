"""
The routes of PCS as one table, and how a path finds its row.

Paths are case-sensitive and matched as sent, after decoding of percent signs: `//`, `/../` and `;x` are
nowhere. A path that would match with its last slash added or dropped is redirected. HEAD is not known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import unquote

from pcs_gateway.sample.call import Answer, Call
from pcs_gateway.sample.handlers import admin, contexts, control, conversations, health, prompts

Handler = Callable[[Call], Answer]
Failing = Callable[[Call, Answer], bool]

API = "/api/v1"


def _never(call: Call, answer: Answer) -> bool:
    return False


def _always(call: Call, answer: Answer) -> bool:
    return True


def _with_rows(call: Call, answer: Answer) -> bool:
    return bool(answer.body["items"])


def _with_versions(call: Call, answer: Answer) -> bool:
    return call.flag("include_versions") or call.flag("include_rules")


def _made_active(call: Call, answer: Answer) -> bool:
    return call.flag("make_active")


@dataclass(frozen=True, slots=True)
class Route:
    """
    One operation.

    Attributes:
        method: The only one this row answers.
        template: The path; `{name}` is one segment.
        handler: What answers.
        fails_as_is: Whether PCS as it is shipped answers 500 although the handler did its work, the write
            included; the sample does so with `--as-is` only.
        uses_database: Hangs while the database is frozen.
        needs_bearer: 401 without a bearer token.
    """

    method: str
    template: str
    handler: Handler
    fails_as_is: Failing = _never
    uses_database: bool = True
    needs_bearer: bool = False


def _plain(method: str, template: str, handler: Handler, *, needs_bearer: bool = False) -> Route:
    return Route(method, template, handler, uses_database=False, needs_bearer=needs_bearer)


def _admin(method: str, template: str, handler: Handler) -> Route:
    return _plain(method, f"{API}/admin{template}", handler, needs_bearer=True)


PROMPTS, CONTEXTS, CONVERSATIONS = f"{API}/prompts", f"{API}/contexts", f"{API}/conversations"

ROUTES = (
    _plain("GET", "/", health.root),
    _plain("GET", f"{API}/health/", health.basic),
    _plain("GET", f"{API}/health/liveness", health.liveness),
    Route("GET", f"{API}/health/readiness", health.readiness),
    _plain("GET", f"{API}/health/detailed", health.detailed),
    _plain("GET", f"{API}/health/resources", health.resources),
    Route("GET", f"{PROMPTS}/", prompts.list_prompts, _with_versions),
    Route("POST", f"{PROMPTS}/", prompts.create_prompt, _always),
    _plain("POST", f"{PROMPTS}/generate", prompts.generate),
    Route("GET", f"{PROMPTS}/{{prompt_id}}", prompts.show_prompt, _always),
    Route("PUT", f"{PROMPTS}/{{prompt_id}}", prompts.change_prompt, _always),
    Route("DELETE", f"{PROMPTS}/{{prompt_id}}", prompts.delete_prompt),
    Route("POST", f"{PROMPTS}/{{prompt_id}}/versions", prompts.create_version, _made_active),
    Route("GET", f"{PROMPTS}/{{prompt_id}}/versions", prompts.list_versions, _always),
    Route("GET", f"{CONTEXTS}/types", contexts.list_types, _with_rows),
    Route("POST", f"{CONTEXTS}/types", contexts.create_type),
    Route("GET", f"{CONTEXTS}/", contexts.list_contexts, _with_rows),
    Route("POST", f"{CONTEXTS}/", contexts.create_context, _always),
    Route("POST", f"{CONTEXTS}/merge", contexts.merge_contexts, _always),
    Route("POST", f"{CONTEXTS}/search", contexts.search_contexts, _with_rows),
    Route("GET", f"{CONTEXTS}/{{context_id}}", contexts.show_context, _always),
    Route("PUT", f"{CONTEXTS}/{{context_id}}", contexts.change_context, _always),
    Route("DELETE", f"{CONTEXTS}/{{context_id}}", contexts.delete_context),
    Route("GET", f"{CONVERSATIONS}/", conversations.list_conversations, _with_rows),
    Route("POST", f"{CONVERSATIONS}/", conversations.create_conversation, _always),
    Route("POST", f"{CONVERSATIONS}/search", conversations.search_conversations, _with_rows),
    Route("GET", f"{CONVERSATIONS}/{{conversation_id}}", conversations.show_conversation, _always),
    Route("PUT", f"{CONVERSATIONS}/{{conversation_id}}", conversations.change_conversation, _always),
    Route("DELETE", f"{CONVERSATIONS}/{{conversation_id}}", conversations.delete_conversation),
    Route("GET", f"{CONVERSATIONS}/{{conversation_id}}/messages", conversations.list_messages, _always),
    Route("POST", f"{CONVERSATIONS}/{{conversation_id}}/messages", conversations.create_message, _always),
    Route(
        "GET",
        f"{CONVERSATIONS}/{{conversation_id}}/messages/{{message_id}}",
        conversations.show_message,
        _always,
    ),
    Route("GET", f"{CONVERSATIONS}/{{conversation_id}}/stats", conversations.show_statistics, _always),
    _admin("GET", "/health/detailed", admin.detailed_health),
    _admin("GET", "/users", admin.list_users),
    _admin("GET", "/config", admin.show_configuration),
    _admin("GET", "/logs", admin.list_logs),
    _admin("GET", "/stats", admin.show_statistics),
    _admin("GET", "/database/query-performance", admin.show_query_performance),
    _admin("POST", "/database/maintenance", admin.maintain_database),
    _admin("POST", "/cache/management", admin.manage_cache),
    _admin("POST", "/users/manage", admin.manage_users),
    _plain("GET", "/sample/faults", control.show_faults),
    _plain("PUT", "/sample/faults", control.replace_faults),
    _plain("PATCH", "/sample/faults", control.change_faults),
    _plain("DELETE", "/sample/faults", control.reset_faults),
    _plain("POST", "/sample/death", control.die),
)
"""All operations; the first row that matches answers."""


class Missed(Enum):
    """Why no route answers."""

    NOT_FOUND = auto()
    WRONG_METHOD = auto()
    WRONG_SLASH = auto()


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the values of its path parameters."""

    route: Route
    params: Mapping[str, str]


Segments = tuple[str, ...]


def _segments(path: str) -> Segments:
    return tuple(path.split("/"))


_BY_LENGTH: dict[int, list[tuple[Segments, Route]]] = {}
for _route in ROUTES:
    _BY_LENGTH.setdefault(len(_segments(_route.template)), []).append((_segments(_route.template), _route))


def find_route(method: str, raw_path: str) -> Match | Missed:
    """Find the row for a request; `raw_path` is the target without its query."""
    path = unquote(raw_path)
    matches = _matches(path)
    for match in matches:
        if match.route.method == method:
            return match
    if matches:
        return Missed.WRONG_METHOD
    toggled = path[:-1] if path.endswith("/") else f"{path}/"
    return Missed.WRONG_SLASH if _matches(toggled) else Missed.NOT_FOUND


def _matches(path: str) -> list[Match]:
    given = _segments(path)
    candidates = _BY_LENGTH.get(len(given), ())
    return [
        Match(route, params)
        for template, route in candidates
        if (params := _bind(template, given)) is not None
    ]


def _bind(template: Segments, given: Segments) -> dict[str, str] | None:
    """Give the parameters' values, or None where the path is another one."""
    params = {}
    for wanted, segment in zip(template, given, strict=True):
        if wanted.startswith("{") and segment:
            params[wanted[1:-1]] = segment
        elif wanted != segment:
            return None
    return params
