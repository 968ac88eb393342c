"""
The bodies that PCS takes, as far as it checks them: lengths, choices, and the rules that raise ValueError
(and so end as an unhandled 500). Unknown members are ignored.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

Name = Annotated[str, Field(min_length=1, max_length=255)]
Text = Annotated[str, Field(max_length=1000)]
Scope = Literal["global", "user", "project", "session", "private", "public", "shared"]
TypeName = Literal["user", "project", "system", "conversation", "session", "custom"]
PromptStatus = Literal["draft", "active", "deprecated", "archived"]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("content cannot be empty")
    return text


def _not_empty(data: Any) -> Any:
    if not data:
        raise ValueError("cannot be empty")
    return data


def _at_most_20(tags: list[str]) -> list[str]:
    if len(tags) > 20:
        raise ValueError("at most 20 tags")
    return tags


def _distinct(ids: list[UUID]) -> list[UUID]:
    if len(set(ids)) != len(ids):
        raise ValueError("identifiers must differ")
    return ids


NotBlank = Annotated[str, Field(min_length=1), AfterValidator(_not_blank)]
Tags = Annotated[list[str], AfterValidator(_at_most_20)]


class PromptCreate(BaseModel):
    """A new prompt."""

    name: Name
    description: Text | None = None
    category: Annotated[str, Field(max_length=100)] | None = None
    tags: Tags = []
    author: Name | None = None


class PromptUpdate(BaseModel):
    """Changes to a prompt; a member left out stays."""

    name: Name | None = None
    description: Text | None = None
    category: Annotated[str, Field(max_length=100)] | None = None
    tags: list[str] | None = None
    author: Name | None = None
    status: PromptStatus | None = None


class VersionCreate(BaseModel):
    """A new version of a prompt."""

    content: NotBlank
    variables: dict[str, Any] = {}
    changelog: Text | None = None


class GenerationRequest(BaseModel):
    """A template's name or content that is sent must not be empty; sending neither passes."""

    template_name: Annotated[str | None, AfterValidator(_not_empty)] = None
    template_content: Annotated[str | None, AfterValidator(_not_empty)] = None
    context_data: dict[str, Any] = {}
    context_ids: list[str] = []
    rule_names: list[str] = []
    variables: dict[str, Any] = {}


class ContextTypeCreate(BaseModel):
    """A new type of contexts."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    type_enum: TypeName
    description: Text | None = None
    schema_definition: dict[str, Any] = {}
    default_scope: Scope = "user"
    supports_vectors: bool = False
    vector_dimension: int | None = None


class ContextCreate(BaseModel):
    """A new context."""

    name: Name
    context_type_id: UUID
    scope: Scope
    context_data: Annotated[dict[str, Any], AfterValidator(_not_empty)]
    description: str | None = None
    project_id: Name | None = None
    context_metadata: dict[str, Any] = {}


class ContextUpdate(BaseModel):
    """Changes to a context; a member left out stays."""

    name: Name | None = None
    description: str | None = None
    scope: Scope | None = None
    project_id: Name | None = None
    context_data: dict[str, Any] | None = None
    context_metadata: dict[str, Any] | None = None
    is_active: bool | None = None


class ContextMerge(BaseModel):
    """Which contexts become one, and how."""

    source_context_ids: Annotated[list[UUID], Field(min_length=2), AfterValidator(_distinct)]
    target_context_id: UUID | None = None
    merge_strategy: Literal["replace", "merge_shallow", "merge_deep", "append"] = "merge_deep"
    create_new: bool = False


class Search(BaseModel):
    """A search over contexts or conversations."""

    query: str | None = None
    project_ids: list[str] | None = None
    scopes: list[Scope] | None = None
    include_inactive: bool = False


class ConversationCreate(BaseModel):
    """A new conversation."""

    title: Name
    description: str | None = None
    project_id: Name | None = None
    session_id: Name | None = None
    conversation_metadata: dict[str, Any] = {}


class ConversationUpdate(BaseModel):
    """Changes to a conversation; a member left out stays."""

    title: Name | None = None
    description: str | None = None
    status: Literal["active", "paused", "completed", "archived"] | None = None
    conversation_metadata: dict[str, Any] | None = None


class MessageCreate(BaseModel):
    """A new message."""

    role: Literal["user", "assistant", "system", "function", "tool"]
    content: NotBlank
    message_metadata: dict[str, Any] = {}
    context_ids: list[str] = []
    input_tokens: Annotated[int, Field(ge=0)] | None = None
    output_tokens: Annotated[int, Field(ge=0)] | None = None


class Maintenance(BaseModel):
    """Work on the database; nothing is done unless `dry_run` is false."""

    operation: Literal["analyze", "vacuum", "reindex", "cleanup"]
    tables: list[str] | None = None
    dry_run: bool = True


class CacheManagement(BaseModel):
    """Work on the cache."""

    operation: Literal["flush", "clear_pattern", "warm", "analyze"]
    pattern: str | None = None


class UserManagement(BaseModel):
    """Work on users."""

    action: Literal["activate", "deactivate", "reset_password", "change_role"]
    user_ids: Annotated[list[str], Field(min_length=1)]
