"""Conversations and their messages."""

from uuid import uuid4

from pcs_gateway.sample.call import Answer, Call, paginated
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.schemas import ConversationCreate, ConversationUpdate, MessageCreate, Search
from pcs_gateway.sample.store import Row


def list_conversations(call: Call) -> Answer:
    """Give the caller's conversations; `user_id` shows anyone's to anybody."""
    user = call.query.get("user_id", call.user)
    text = call.query.get("search", "").lower()
    return paginated(call, [row for row in _of(call, user) if text in row["title"].lower()])


def search_conversations(call: Call) -> Answer:
    """Give a page of the caller's conversations whose title matches."""
    text = (call.decode(Search).query or "").lower()
    return paginated(call, [row for row in _of(call, call.user) if text in row["title"].lower()])


def create_conversation(call: Call) -> Answer:
    """Begin a conversation; for nobody the failure tells the row."""
    conversation = call.decode(ConversationCreate)
    now = call.now()
    row: Row = {
        "id": str(uuid4()),
        "title": conversation.title,
        "description": conversation.description,
        "user_id": call.user,
        "is_active": True,
        "total_messages": 0,
        "total_tokens": 0,
        "tags": None,
        "metadata": conversation.conversation_metadata,
        "messages": None,
        "latest_message": None,
        "started_at": now,
        "last_activity_at": now,
        "created_at": now,
        "updated_at": now,
    }
    if not call.user:
        raise PcsError(500, f"Failed to create conversation: null user_id, failing row: {row}")
    call.store.insert("conversation", row)
    return Answer(201, row)


def show_conversation(call: Call) -> Answer:
    """Give a conversation, with its messages on request."""
    row = _conversation(call)
    if call.flag("include_messages"):
        row["messages"] = call.store.select("message", parent=row["id"])
    return Answer(body=row)


def change_conversation(call: Call) -> Answer:
    """Change the members that are named."""
    changes = call.decode(ConversationUpdate).model_dump(exclude_unset=True)
    with call.store.transaction():
        row = _conversation(call)
        row |= {name: changes[name] for name in ("title", "description") if name in changes}
        row["metadata"] = changes.get("conversation_metadata") or row["metadata"]
        row["is_active"] = changes.get("status", "active" if row["is_active"] else "") == "active"
        row["updated_at"] = call.now()
        call.store.replace("conversation", row)
    return Answer(body=row)


def delete_conversation(call: Call) -> Answer:
    """Delete a conversation; an active one only by force."""
    row = _conversation(call)
    if row["is_active"] and not call.flag("force"):
        raise PcsError(400, "Cannot delete an active conversation without force=true")
    call.store.remove("conversation", row["id"])
    return Answer(204)


def list_messages(call: Call) -> Answer:
    """Give a page of a conversation's messages."""
    return paginated(call, call.store.select("message", parent=_conversation(call)["id"]))


def create_message(call: Call) -> Answer:
    """Add a message with the next sequence number."""
    message = call.decode(MessageCreate)
    with call.store.transaction():
        conversation = _conversation(call)
        conversation["total_messages"] += 1
        conversation["last_activity_at"] = call.now()
        row: Row = {
            "id": str(uuid4()),
            "conversation_id": conversation["id"],
            **message.model_dump(exclude={"message_metadata"}),
            "sequence_number": conversation["total_messages"],
            "prompt_template_id": None,
            "metadata": message.message_metadata,
            "created_at": call.now(),
            "updated_at": call.now(),
        }
        call.store.insert("message", row, parent=conversation["id"])
        call.store.replace("conversation", conversation)
    return Answer(201, row)


def show_message(call: Call) -> Answer:
    """Give one message."""
    conversation = _conversation(call)
    message = call.require_row("message", call.identifier("message_id"), "Message")
    if message["conversation_id"] != conversation["id"]:
        raise PcsError(404, f"Message with ID {message['id']} not found")
    return Answer(body=message)


def show_statistics(call: Call) -> Answer:
    """Count a conversation's messages and tokens."""
    conversation = _conversation(call)
    messages = call.store.select("message", parent=conversation["id"])
    return Answer(
        body={
            "conversation_id": conversation["id"],
            "total_messages": len(messages),
            "total_input_tokens": sum(message["input_tokens"] or 0 for message in messages),
            "total_output_tokens": sum(message["output_tokens"] or 0 for message in messages),
            "total_cost": None,
            "average_response_time": None,
            "active_contexts": 0,
            "prompt_templates_used": 0,
        }
    )


def _of(call: Call, user: str) -> list[Row]:
    if not user:
        return []
    rows = [row for row in call.store.select("conversation") if row["user_id"] == user]
    return sorted(rows, key=lambda row: str(row["last_activity_at"]), reverse=True)


def _conversation(call: Call) -> Row:
    row = call.require_row("conversation", call.identifier("conversation_id"), "Conversation")
    if row["user_id"] != call.user:
        raise PcsError(403, "Access denied to this conversation")
    return row
