"""Prompt templates, their versions, and the stub that generates."""

import hashlib
from uuid import uuid4

from pcs_gateway.sample.call import Answer, Call, page_of, paginated
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.schemas import GenerationRequest, PromptCreate, PromptUpdate, VersionCreate
from pcs_gateway.sample.store import DuplicateNameError, Row


def list_prompts(call: Call) -> Answer:
    """Give a page of the prompts, filtered on request."""
    filters = {name: call.query[name] for name in ("category", "status") if name in call.query}
    text = call.query.get("search", "").lower()
    if not filters and not text and not call.flag("include_versions"):
        page, size = call.page()
        return page_of(
            call.store.page("prompt", (page - 1) * size, size), call.store.count("prompt"), page, size
        )
    rows = [
        row
        for row in call.store.select("prompt")
        if all(row[name] == value for name, value in filters.items())
        and (text in row["name"].lower() or text in (row["description"] or "").lower())
    ]
    answer = paginated(call, rows)
    if call.flag("include_versions"):
        answer.body["items"] = [_with_versions(call, row) for row in answer.body["items"]]
    return answer


def create_prompt(call: Call) -> Answer:
    """Add a prompt; its name must be new."""
    prompt = call.decode(PromptCreate)
    row: Row = {
        "id": str(uuid4()),
        **prompt.model_dump(),
        "author": prompt.author or call.user or None,
        "status": "draft",
        "is_system": False,
        "version_count": 0,
        "usage_count": 0,
        "versions": None,
        "current_version": None,
        "latest_version": None,
        "rules": None,
        "created_at": call.now(),
        "updated_at": call.now(),
    }
    try:
        call.store.insert("prompt", row, name=prompt.name)
    except DuplicateNameError as error:
        raise _name_taken(prompt.name) from error
    return Answer(201, row)


def show_prompt(call: Call) -> Answer:
    """Give a prompt, with its versions on request."""
    row = _prompt(call)
    return Answer(body=_with_versions(call, row) if call.flag("include_versions") else row)


def change_prompt(call: Call) -> Answer:
    """Change the members that are named."""
    changes = call.decode(PromptUpdate).model_dump(exclude_unset=True)
    with call.store.transaction():
        row = _prompt(call) | changes | {"updated_at": call.now()}
        try:
            call.store.replace("prompt", row, name=changes.get("name"))
        except DuplicateNameError as error:
            raise _name_taken(changes["name"]) from error
    return Answer(body=row)


def delete_prompt(call: Call) -> Answer:
    """Delete a prompt and its versions; nobody needs a credential for it."""
    prompt_id = call.identifier("prompt_id")
    if not call.store.remove("prompt", prompt_id):
        raise PcsError(404, f"Template with ID {prompt_id} not found")
    return Answer(204)


def create_version(call: Call) -> Answer:
    """Add a version to a prompt."""
    version = call.decode(VersionCreate)
    with call.store.transaction():
        prompt = _prompt(call)
        prompt["version_count"] += 1
        row: Row = {
            "id": str(uuid4()),
            "template_id": prompt["id"],
            "version_number": prompt["version_count"],
            **version.model_dump(),
            "is_active": call.flag("make_active"),
            "created_at": call.now(),
            "updated_at": call.now(),
        }
        call.store.insert("version", row, parent=prompt["id"])
        call.store.replace("prompt", prompt)
    return Answer(201, row)


def list_versions(call: Call) -> Answer:
    """Give all versions of a prompt."""
    return Answer(body=call.store.select("version", parent=_prompt(call)["id"]))


def generate(call: Call) -> Answer:
    """Answer what was asked: a stub that never looks a template up."""
    request = call.decode(GenerationRequest)
    digest = hashlib.sha256(call.body).hexdigest()
    source = request.template_content or f"Template {request.template_name or 'inline'}"
    return Answer(
        body={
            "request_id": f"req_{digest[:16]}",
            "generated_prompt": source[:200],
            "status": "completed",
            "processing_time_ms": 0.1,
            "context_used": request.context_data,
            "rules_applied": request.rule_names,
            "variables_resolved": request.variables,
            "cache_hit": False,
            "metadata": {"context_ids": request.context_ids},
            "created_at": call.now(),
        }
    )


def _prompt(call: Call) -> Row:
    return call.require_row("prompt", call.identifier("prompt_id"), "Template")


def _with_versions(call: Call, row: Row) -> Row:
    versions = call.store.select("version", parent=row["id"])
    active = [version for version in versions if version["is_active"]]
    return row | {
        "versions": versions,
        "current_version": active[-1] if active else None,
        "latest_version": versions[-1] if versions else None,
    }


def _name_taken(name: str) -> PcsError:
    return PcsError(409, f"Template with name '{name}' already exists")
