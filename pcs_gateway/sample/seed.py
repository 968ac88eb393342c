"""
What an instance finds in an empty database: the same rows with the same bytes in every instance.

The numbers are those under which PCS was measured. Every identifier is known beforehand, so that a command
line can name a row: `prompt_id(7)`.
"""

from uuid import UUID

from pcs_gateway.sample.store import Row, Store

PROMPTS = 300
CONTEXTS = 200
CONVERSATIONS = 40
MESSAGES = 20
"""Messages in each conversation."""

SEEDED_AT = "2025-08-31T12:00:00Z"
CATEGORIES = ("support", "sales", "research", "coding", "writing")
CONTEXT_TYPES = ("user", "project", "system", "conversation")
USER = "mock-user"
"""The one user that any bearer token stands for."""


def prompt_id(number: int) -> str:
    """Give the identifier of the seeded prompt `number`, from 1."""
    return _identifier(1, number)


def context_type_id(number: int) -> str:
    """Give the identifier of the seeded context type `number`, from 1."""
    return _identifier(2, number)


def context_id(number: int) -> str:
    """Give the identifier of the seeded context `number`, from 1."""
    return _identifier(3, number)


def conversation_id(number: int) -> str:
    """Give the identifier of the seeded conversation `number`, from 1."""
    return _identifier(4, number)


def seed(store: Store) -> None:
    """Fill the database unless it holds anything."""
    with store.transaction():
        if store.count("context_type") > 0:
            return
        for number in range(1, len(CONTEXT_TYPES) + 1):
            row = context_type(number)
            store.insert("context_type", row, name=row["name"])
        for number in range(1, PROMPTS + 1):
            row = prompt(number)
            store.insert("prompt", row, name=row["name"])
        for number in range(1, CONTEXTS + 1):
            store.insert("context", context(number))
        for number in range(1, CONVERSATIONS + 1):
            row = conversation(number)
            store.insert("conversation", row)
            for sequence in range(1, MESSAGES + 1):
                store.insert("message", message(number, sequence), parent=row["id"])


def prompt(number: int) -> Row:
    """Give the seeded prompt `number`."""
    return {
        "id": prompt_id(number),
        "name": f"prompt-{number:04}",
        "description": f"Answers questions of kind {number}",
        "category": CATEGORIES[number % len(CATEGORIES)],
        "tags": ["seed", f"group-{number % 10}"],
        "status": "active",
        "is_system": False,
        "author": USER,
        "version_count": 0,
        "usage_count": 0,
        "versions": None,
        "current_version": None,
        "latest_version": None,
        "rules": None,
        **_timestamps(),
    }


def context_type(number: int) -> Row:
    """Give the seeded context type `number`."""
    name = CONTEXT_TYPES[number - 1]
    return {
        "id": context_type_id(number),
        "name": name,
        "description": f"Contexts of a {name}",
        "type_enum": name,
        "schema_definition": {},
        "validation_rules": None,
        "default_scope": "user",
        "max_instances": None,
        "is_system": False,
        "is_active": True,
        "supports_vectors": False,
        "vector_dimension": None,
        "context_count": 0,
        **_timestamps(),
    }


def context(number: int) -> Row:
    """Give the seeded context `number`."""
    return {
        "id": context_id(number),
        "context_type_id": context_type_id(number % len(CONTEXT_TYPES) + 1),
        "name": f"context-{number:04}",
        "description": f"What is known about subject {number}",
        "data": {"subject": f"subject-{number}", "language": "en", "facts": ["one", "two", "three"]},
        "scope": "user",
        "user_id": USER,
        "project_id": f"project-{number % 5}",
        "session_id": None,
        "tags": None,
        "metadata": {"source": "seed"},
        "usage_count": 0,
        "is_active": True,
        "context_type": None,
        "parent_relationships": None,
        "child_relationships": None,
        **_timestamps(),
    }


def conversation(number: int) -> Row:
    """Give the seeded conversation `number`."""
    return {
        "id": conversation_id(number),
        "title": f"Conversation {number}",
        "description": None,
        "user_id": USER,
        "is_active": True,
        "total_messages": MESSAGES,
        "total_tokens": MESSAGES * 12,
        "tags": None,
        "metadata": {},
        "messages": None,
        "latest_message": None,
        "started_at": SEEDED_AT,
        "last_activity_at": SEEDED_AT,
        **_timestamps(),
    }


def message(conversation_number: int, sequence: int) -> Row:
    """Give a seeded message; `sequence` counts from 1 within its conversation."""
    return {
        "id": _identifier(5, conversation_number * 1000 + sequence),
        "conversation_id": conversation_id(conversation_number),
        "role": "user" if sequence % 2 else "assistant",
        "content": f"Message {sequence} of conversation {conversation_number}, long enough to be plausible.",
        "sequence_number": sequence,
        "prompt_template_id": None,
        "context_ids": [],
        "input_tokens": 12,
        "output_tokens": 0,
        "metadata": {},
        **_timestamps(),
    }


def _timestamps() -> Row:
    return {"created_at": SEEDED_AT, "updated_at": SEEDED_AT}


def _identifier(kind: int, number: int) -> str:
    """A version 4 UUID that a person can type."""
    return str(UUID(fields=(kind, 0, 0x4000, 0x80, 0, number)))
