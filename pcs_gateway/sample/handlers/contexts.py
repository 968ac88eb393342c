"""Contexts and their types. Reading one context counts its use: the one GET of PCS that writes."""

from typing import Any
from uuid import uuid4

from pcs_gateway.sample.call import Answer, Call, paginated
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.schemas import ContextCreate, ContextMerge, ContextTypeCreate, ContextUpdate, Search
from pcs_gateway.sample.store import DuplicateNameError, Row


def list_types(call: Call) -> Answer:
    """Give a page of the types."""
    return paginated(call, call.store.select("context_type"))


def create_type(call: Call) -> Answer:
    """Add a type; its name must be new."""
    context_type = call.decode(ContextTypeCreate)
    row: Row = {
        "id": str(uuid4()),
        **context_type.model_dump(),
        "validation_rules": None,
        "max_instances": None,
        "is_system": False,
        "is_active": True,
        "context_count": 0,
        "created_at": call.now(),
        "updated_at": call.now(),
    }
    try:
        call.store.insert("context_type", row, name=context_type.name)
    except DuplicateNameError as error:
        raise PcsError(409, f"Context type with name '{context_type.name}' already exists") from error
    return Answer(201, row)


def list_contexts(call: Call) -> Answer:
    """Give a page of the contexts, filtered on request."""
    text = call.query.get("search", "").lower()
    filters = {
        name: call.query[name] for name in ("context_type_id", "scope", "project_id") if name in call.query
    }
    rows = [
        row
        for row in call.store.select("context")
        if all(row[name] == value for name, value in filters.items()) and _mentions(row, text)
    ]
    return paginated(call, rows)


def create_context(call: Call) -> Answer:
    """Add a context; one of scope user needs a user."""
    context = call.decode(ContextCreate)
    if context.scope == "user":
        _require_user(call, "create context")
    type_id = str(context.context_type_id)
    call.require_row("context_type", type_id, "Context type")
    row = _new_row(call, type_id, context.name, context.context_data) | {
        "description": context.description,
        "scope": context.scope,
        "project_id": context.project_id,
        "metadata": context.context_metadata,
    }
    call.store.insert("context", row)
    return Answer(201, row)


def show_context(call: Call) -> Answer:
    """Give a context and count its use."""
    _require_user(call, "get context")
    with call.store.transaction():
        row = _context(call)
        row["usage_count"] += 1
        call.store.replace("context", row)
    return Answer(body=row)


def change_context(call: Call) -> Answer:
    """Change the members that are named."""
    changes = call.decode(ContextUpdate).model_dump(exclude_unset=True)
    _require_user(call, "update context")
    renamed = {"context_data": "data", "context_metadata": "metadata"}
    with call.store.transaction():
        row = _context(call) | {renamed.get(name, name): value for name, value in changes.items()}
        row["updated_at"] = call.now()
        call.store.replace("context", row)
    return Answer(body=row)


def delete_context(call: Call) -> Answer:
    """Delete a context."""
    _require_user(call, "delete context")
    context_id = call.identifier("context_id")
    if not call.store.remove("context", context_id):
        raise PcsError(404, f"Context with ID {context_id} not found")
    return Answer(204)


def merge_contexts(call: Call) -> Answer:
    """Merge two contexts or more, into a new one or into the target."""
    merge = call.decode(ContextMerge)
    _require_user(call, "merge contexts")
    with call.store.transaction():
        sources = [
            call.require_row("context", str(source_id), "Context") for source_id in merge.source_context_ids
        ]
        data: dict[str, Any] = {}
        for source in sources:
            data |= source["data"]
        if merge.create_new or merge.target_context_id is None:
            result = _new_row(call, sources[0]["context_type_id"], f"merge of {len(sources)}", data)
            call.store.insert("context", result)
        else:
            result = call.require_row("context", str(merge.target_context_id), "Context")
            result |= {"data": data, "updated_at": call.now()}
            call.store.replace("context", result)
    return Answer(
        body={
            "merge_id": str(uuid4()),
            "result_context": result,
            "source_context_ids": [source["id"] for source in sources],
            "strategy_used": merge.merge_strategy,
            "conflicts_resolved": 0,
            "merge_metadata": {},
            "processing_time_ms": 0.1,
        }
    )


def search_contexts(call: Call) -> Answer:
    """Give a page of what matches, after a look at every row."""
    search = call.decode(Search)
    _require_user(call, "search contexts")
    text = (search.query or "").lower()
    rows = [
        row
        for row in call.store.select("context")
        if _mentions(row, text)
        and (search.project_ids is None or row["project_id"] in search.project_ids)
        and (search.scopes is None or row["scope"] in search.scopes)
        and (search.include_inactive or row["is_active"])
    ]
    return paginated(call, rows)


def _context(call: Call) -> Row:
    return call.require_row("context", call.identifier("context_id"), "Context")


def _mentions(row: Row, text: str) -> bool:
    return text in row["name"].lower() or text in (row["description"] or "").lower()


def _require_user(call: Call, action: str) -> None:
    """Fail as PCS does for nobody: with a 500 that tells of its inside."""
    if not call.user:
        raise PcsError(500, f"Failed to {action}: 'NoneType' object has no attribute 'get'")


def _new_row(call: Call, type_id: str, name: str, data: dict[str, Any]) -> Row:
    return {
        "id": str(uuid4()),
        "context_type_id": type_id,
        "name": name,
        "description": None,
        "data": data,
        "scope": "user",
        "user_id": call.user or None,
        "project_id": None,
        "session_id": None,
        "tags": None,
        "metadata": {},
        "usage_count": 0,
        "is_active": True,
        "context_type": None,
        "parent_relationships": None,
        "child_relationships": None,
        "created_at": call.now(),
        "updated_at": call.now(),
    }
