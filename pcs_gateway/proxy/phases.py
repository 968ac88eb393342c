"""What an exchange can be waiting for, in the order in which it can happen."""

from __future__ import annotations

RECEIVING, QUEUED, PAUSED, CONNECTING, WAITING, STREAMING, TUNNELLING, OVER = range(8)
"""
The client's body; a lease; the end of a pause before a retry; a connection; the response head; its rest; a
tunnel's end; nothing.
"""

NEVER = float("inf")
"""A deadline that does not come."""
