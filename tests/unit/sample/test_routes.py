"""What the sample's routes answer (PCS's service notes, sections 2 and 6)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from pcs_gateway.sample import SampleConfig, SampleServer
from pcs_gateway.sample.routes import ROUTES, Match, Missed, find_route
from pcs_gateway.sample.seed import context_id, context_type_id, conversation_id, prompt_id

BEARER = {"Authorization": "Bearer anything"}


@pytest.fixture
async def client(sample: SampleServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the running instance."""
    # a connection each: after an unhandled 500 the next request on it would be lost
    async with aiohttp.ClientSession(sample.url, connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, Any]:
    """Give status and decoded body of an answer; redirects are not followed."""
    async with client.request(method, path, allow_redirects=False, **options) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None


def test_every_operation_of_pcs_is_there_once() -> None:
    """PCS has 41 operations; the sample adds its resources and the ordering of faults."""
    operations = [(route.method, route.template) for route in ROUTES]
    own = [one for one in operations if one[1].startswith("/sample/") or one[1].endswith("/resources")]

    assert len(operations) == len(set(operations))
    assert len(operations) - len(own) == 41


def test_a_path_finds_its_route_and_parameters() -> None:
    """Parameters are the decoded segments; a literal row comes before a parameter."""
    found = find_route("GET", "/api/v1/conversations/a%20b/messages/c")

    assert isinstance(found, Match)
    assert found.params == {"conversation_id": "a b", "message_id": "c"}
    assert find_route("GET", "/api/v1/prompts") is Missed.WRONG_SLASH
    assert find_route("GET", "/api/v1/prompts/generate/") is Missed.WRONG_SLASH
    assert find_route("DELETE", "/api/v1/contexts/") is Missed.WRONG_METHOD
    assert find_route("GET", "/api/v1/prompts//versions") is Missed.NOT_FOUND


async def test_prompts_are_listed_in_pages(client: aiohttp.ClientSession) -> None:
    """A page has the size asked for; beyond the end it is empty; unknown query keys are ignored."""
    status, page = await ask(client, "GET", "/api/v1/prompts/?page=2&size=7&utm=1")
    _, beyond = await ask(client, "GET", "/api/v1/prompts/?page=99&size=100")
    _, support = await ask(client, "GET", "/api/v1/prompts/?category=support&size=100")

    assert status == 200
    assert (page["total"], page["pages"], len(page["items"])) == (300, 43, 7)
    assert page["items"][0]["id"] == prompt_id(8)
    assert beyond["items"] == []
    assert {row["category"] for row in support["items"]} == {"support"}


@pytest.mark.parametrize(
    "path", ["/api/v1/prompts/?size=101", "/api/v1/prompts/?page=x", "/api/v1/prompts/no-uuid"]
)
async def test_a_wrong_parameter_is_422_and_echoed(client: aiohttp.ClientSession, path: str) -> None:
    """A wrong parameter is told with its value."""
    status, body = await ask(client, "GET", path)

    assert (status, body["error"]) == (422, "ValidationError")
    assert body["details"]["validation_errors"][0]["input"] in {"101", "x", "no-uuid"}


async def test_a_prompt_lives(client: aiohttp.ClientSession) -> None:
    """A prompt is created, changed, given a version, read with it, and deleted without a credential."""
    created, row = await ask(client, "POST", "/api/v1/prompts/", json={"name": "mine"}, headers=BEARER)
    taken, _ = await ask(client, "POST", "/api/v1/prompts/", json={"name": "mine"})
    path = f"/api/v1/prompts/{row['id']}"
    changed, _ = await ask(client, "PUT", path, json={"category": "new"})
    versioned, _ = await ask(client, "POST", f"{path}/versions?make_active=true", json={"content": "Hi {x}"})
    _, shown = await ask(client, "GET", f"{path}?include_versions=true")
    deleted, nothing = await ask(client, "DELETE", path)
    gone, _ = await ask(client, "GET", path)

    assert [created, taken, changed, versioned, deleted, gone] == [201, 409, 200, 201, 204, 404]
    assert (row["author"], shown["category"], nothing) == ("mock-user", "new", None)
    assert shown["current_version"]["version_number"] == 1


async def test_a_wrong_body_is_422_and_a_rule_that_raises_is_500(client: aiohttp.ClientSession) -> None:
    """A missing member is 422 with the input; a validator's ValueError ends as an unhandled 500."""
    missing, body = await ask(client, "POST", "/api/v1/prompts/", json={"description": "x"})
    path = f"/api/v1/conversations/{conversation_id(1)}/messages"
    blank, _ = await ask(client, "POST", path, json={"role": "user", "content": "  "}, headers=BEARER)
    same = {"source_context_ids": [context_id(1), context_id(1)]}
    merged, _ = await ask(client, "POST", "/api/v1/contexts/merge", json=same, headers=BEARER)

    assert (missing, blank, merged) == (422, 500, 500)
    assert body["details"]["validation_errors"][0]["input"] == {"description": "x"}


async def test_generate_is_a_stub_that_echoes(client: aiohttp.ClientSession) -> None:
    """Generating looks nothing up and gives back what was sent, in about 350 bytes."""
    request = {"template_name": "nowhere", "variables": {"name": "Ada"}}
    status, body = await ask(client, "POST", "/api/v1/prompts/generate", json=request)

    assert (status, body["variables_resolved"]) == (200, {"name": "Ada"})
    assert (await ask(client, "POST", "/api/v1/prompts/generate", json={}))[0] == 200


async def test_reading_a_context_counts_its_use(client: aiohttp.ClientSession) -> None:
    """The one GET that writes: each read adds one, and a list shows it."""
    path = f"/api/v1/contexts/{context_id(3)}"
    counts = [(await ask(client, "GET", path, headers=BEARER))[1]["usage_count"] for _ in range(3)]
    _, page = await ask(client, "GET", "/api/v1/contexts/?page=2&size=100")

    assert counts == [1, 2, 3]
    assert page["items"][-1]["id"] == context_id(3), "an updated row moves to the end"


async def test_nobody_gets_500_for_contexts_and_403_for_conversations(client: aiohttp.ClientSession) -> None:
    """Without a bearer PCS fails in these ways, and shows anyone's list to who asks by user."""
    context, body = await ask(client, "GET", f"/api/v1/contexts/{context_id(1)}")
    conversation, _ = await ask(client, "GET", f"/api/v1/conversations/{conversation_id(1)}")
    created, _ = await ask(client, "POST", "/api/v1/conversations/", json={"title": "x"})
    _, own = await ask(client, "GET", "/api/v1/conversations/", headers={"Authorization": "Basic YTpi"})
    _, others = await ask(client, "GET", "/api/v1/conversations/?user_id=mock-user")

    assert (context, conversation, created) == (500, 403, 500)
    assert set(body) == {"error", "message", "details"}
    assert (own["total"], others["total"]) == (0, 40)


async def test_messages_are_numbered(client: aiohttp.ClientSession) -> None:
    """Each message gets the next sequence number and is counted; an active conversation resists deletion."""
    path = f"/api/v1/conversations/{conversation_id(2)}"
    message = {"role": "user", "content": "hello", "input_tokens": 3}
    numbers = [
        (await ask(client, "POST", f"{path}/messages", json=message, headers=BEARER))[1]["sequence_number"]
        for _ in range(2)
    ]
    _, statistics = await ask(client, "GET", f"{path}/stats", headers=BEARER)
    refused, _ = await ask(client, "DELETE", path, headers=BEARER)
    forced, _ = await ask(client, "DELETE", f"{path}?force=true", headers=BEARER)

    assert numbers == [21, 22]
    assert (statistics["total_messages"], refused, forced) == (22, 400, 204)


async def test_a_context_is_made_changed_merged_and_found(client: aiohttp.ClientSession) -> None:
    """The routes that write contexts answer as PCS means them to."""
    new = {"name": "n", "scope": "user", "context_data": {"k": "v"}, "context_type_id": context_type_id(1)}
    created, row = await ask(client, "POST", "/api/v1/contexts/", json=new, headers=BEARER)
    path = f"/api/v1/contexts/{row['id']}"
    _, changed = await ask(client, "PUT", path, json={"context_data": {"k": "w"}}, headers=BEARER)
    both = {"source_context_ids": [context_id(1), row["id"]]}
    _, merged = await ask(client, "POST", "/api/v1/contexts/merge", json=both, headers=BEARER)
    _, found = await ask(client, "POST", "/api/v1/contexts/search", json={"query": "merge"}, headers=BEARER)

    assert (created, changed["data"]) == (201, {"k": "w"})
    assert merged["result_context"]["data"]["k"] == "w"
    assert found["total"] == 1


async def test_admin_asks_for_a_bearer_without_www_authenticate(sample: SampleServer) -> None:
    """401 lacks WWW-Authenticate; with any bearer the stubs answer and two routes always fail."""
    async with aiohttp.ClientSession(sample.url) as client:
        async with client.get("/api/v1/admin/users") as response:
            assert response.status == 401
            assert "WWW-Authenticate" not in response.headers
        statuses = [
            (await ask(client, "GET", f"/api/v1/admin/{name}", headers=BEARER))[0]
            for name in ("users", "config", "logs", "health/detailed", "stats", "database/query-performance")
        ]
        body = {"operation": "vacuum"}
        done, _ = await ask(client, "POST", "/api/v1/admin/database/maintenance", json=body, headers=BEARER)

    assert statuses == [200, 200, 200, 200, 500, 500]
    assert done == 200


async def test_resources_are_told(client: aiohttp.ClientSession) -> None:
    """CPU and memory of the instance come as shares, by the specification's names."""
    status, body = await ask(client, "GET", "/api/v1/health/resources")

    assert (status, body["instance"]) == (200, "one")
    assert 0 <= body["cpu_usage"] <= 8
    assert 0 < body["memory_usage"] < 1
    assert body["memory_bytes"] > 1_000_000


async def test_as_is_a_write_is_done_and_answered_500() -> None:
    """Started as shipped, a creation is committed and then fails; what PCS answers well stays."""
    async with SampleServer(SampleConfig(as_is=True)) as server, aiohttp.ClientSession(server.url) as client:
        created, _ = await ask(client, "POST", "/api/v1/prompts/", json={"name": "written"})
        listed, page = await ask(client, "GET", "/api/v1/prompts/?search=written")
        shown, _ = await ask(client, "GET", f"/api/v1/prompts/{prompt_id(1)}")
        missing, _ = await ask(client, "GET", f"/api/v1/prompts/{prompt_id(9999)}")
        version = await ask(client, "POST", f"/api/v1/prompts/{prompt_id(1)}/versions", json={"content": "x"})

    assert (created, shown, missing) == (500, 500, 404)
    assert (listed, page["total"]) == (200, 1)
    assert version[0] == 201
