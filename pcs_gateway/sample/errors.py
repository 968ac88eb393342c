"""
The failures of the sample service, each with the JSON shape that PCS gives it.

PcsError            answered as `error`, `message`, `details`
└─ UnprocessableError    422: the request's body or parameters are wrong, echoed back in full

Anything else that a handler raises is *unhandled*: a 500 without the usual fields, after which the connection
is closed unannounced. PCS does so for plain client mistakes too, and so must the sample.
"""

from typing import Any

import pydantic


class PcsError(Exception):
    """
    A failure with an answer.

    Args:
        status: The HTTP status.
        message: What PCS puts into `message`; for the two health checks an object, which breaks its own SDK.
        error: The name of the kind of failure.
        details: More about it.
    """

    def __init__(
        self,
        status: int,
        message: str | dict[str, Any],
        *,
        error: str = "HTTPError",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": error, "message": message, "details": details or {}}


class UnprocessableError(PcsError):
    """The body or a parameter does not validate; `validation_errors` echoes what was sent."""

    def __init__(self, validation_errors: list[Any]) -> None:
        super().__init__(
            422,
            "Request validation failed",
            error="ValidationError",
            details={"validation_errors": validation_errors},
        )


def unprocessable_body(error: pydantic.ValidationError) -> Exception:
    """Give what PCS makes of a body that does not validate.

    A rule that raises ValueError ends as an unhandled 500, for its error holds the exception object itself,
    which JSON cannot carry.
    """
    errors = error.errors(include_url=True)
    if any(one["type"] == "value_error" for one in errors):
        return TypeError("Object of type ValueError is not JSON serializable")
    return UnprocessableError([{**one, "loc": ["body", *one["loc"]]} for one in errors])


def unprocessable_parameter(place: str, name: str, value: str, message: str) -> UnprocessableError:
    """Give the 422 for one query or path parameter."""
    return UnprocessableError([{"type": "parsing", "loc": [place, name], "msg": message, "input": value}])
