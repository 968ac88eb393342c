"""Errors of the admin API: problem details (RFC 9457), with the string `message` that PCS's own SDK reads."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from pcs_gateway.control.roster import UnknownBackendError
from pcs_gateway.errors import GatewayError

CONTENT_TYPE = "application/problem+json"

_log = structlog.get_logger()


class BadRequestError(GatewayError):
    """A request that cannot be understood; the text says what is allowed."""


STATUSES: Mapping[type[GatewayError], int] = {BadRequestError: 400, UnknownBackendError: 404}
"""How errors of ours are answered."""


def problem(
    status: int, message: str, headers: Mapping[str, str] | None = None, **members: Any
) -> web.Response:
    """Return an error answer; `members` are added to the usual ones."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "message": message,
        **members,
    }
    body = msgspec.json.encode(document)
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, headers=headers)


def document(value: Any, status: int = 200) -> web.Response:
    """Return plain data as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what handlers raise into problem details, and never into a stack trace."""
    try:
        return await handler(request)
    except GatewayError as error:
        return problem(STATUSES.get(type(error), 500), str(error))
    except web.HTTPException as error:
        return _explained(request, error)
    except Exception:  # noqa: BLE001 - the caller gets no trace, the log does
        _log.exception("admin_request_failed", method=request.method, path=request.path)
        return problem(500, "the gateway met a defect in itself; its log tells more")


def _explained(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return what aiohttp refuses as problem details."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(405, f"{request.path} takes {allowed}, not {request.method}", {"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return problem(404, f"there is no {request.path}")
    return problem(error.status, error.reason)
