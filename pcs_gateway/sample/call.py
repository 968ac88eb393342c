"""What a handler is given and what it returns: plain values, no connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import pydantic

from pcs_gateway.clock import Clock
from pcs_gateway.sample.errors import PcsError, unprocessable_body, unprocessable_parameter
from pcs_gateway.sample.faults import Database, FaultControl
from pcs_gateway.sample.resources import ResourceUsage
from pcs_gateway.sample.seed import USER
from pcs_gateway.sample.store import Row, Store

Model = TypeVar("Model", bound=pydantic.BaseModel)

LARGEST_PAGE = 100


@dataclass(frozen=True, slots=True)
class Service:
    """
    What all calls to one instance share.

    Attributes:
        may_die: The instance is a process of its own, which may be ordered to end.
    """

    instance: str
    store: Store
    faults: FaultControl
    resources: ResourceUsage
    clock: Clock
    may_die: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What is to be sent.

    Attributes:
        status: The HTTP status.
        body: Encoded as JSON; None is an empty body.
    """

    status: int = 200
    body: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request to a handler.

    Attributes:
        service: The instance that is asked.
        params: The path's parameters, decoded.
        query: The query's parameters, the last one where one is repeated.
        body: The bytes that came.
        user: Whom the bearer token stands for; "" is nobody. No token is ever checked.
    """

    service: Service
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    user: str

    @property
    def store(self) -> Store:
        """Give the rows.

        Raises:
            PcsError: 500 and not 503, the database is down by order.
        """
        if self.service.faults.current.database is Database.DOWN:
            raise PcsError(500, "Failed to answer: [Errno 111] connection to the database refused")
        return self.service.store

    def now(self) -> str:
        """Give the current time as PCS writes it."""
        return datetime.fromtimestamp(self.service.clock.time(), UTC).isoformat().replace("+00:00", "Z")

    def decode(self, model: type[Model]) -> Model:
        """Give the body as a model.

        Raises:
            PcsError: It does not validate.
        """
        try:
            return model.model_validate_json(self.body)
        except pydantic.ValidationError as error:
            raise unprocessable_body(error) from error

    def identifier(self, name: str) -> str:
        """Give a path parameter that must be a UUID, in its usual form.

        Raises:
            UnprocessableError: It is none.
        """
        value = self.params[name]
        try:
            return str(UUID(value))
        except ValueError as error:
            raise unprocessable_parameter("path", name, value, "Input should be a valid UUID") from error

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.query.get(name)
        return default if value is None else value.lower() in {"1", "true", "yes", "on"}

    def page(self) -> tuple[int, int]:
        """Give the page's number and size.

        Raises:
            UnprocessableError: One is no number or out of range.
        """
        return self._number("page", 1, 1, 2**31), self._number("size", 20, 1, LARGEST_PAGE)

    def require_row(self, kind: str, row_id: str, what: str) -> Row:
        """Give a row.

        Raises:
            PcsError: 404, there is none.
        """
        row = self.store.find(kind, row_id)
        if row is None:
            raise PcsError(404, f"{what} with ID {row_id} not found")
        return row

    def _number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.query.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise unprocessable_parameter("query", name, value, f"Input should be from {least} to {most}")
        return int(value)


def paginated(call: Call, rows: list[Row]) -> Answer:
    """Give one page out of all rows that match."""
    page, size = call.page()
    return page_of(rows[(page - 1) * size : page * size], len(rows), page, size)


def page_of(rows: list[Row], total: int, page: int, size: int) -> Answer:
    """Give a page whose rows were already cut out of `total`."""
    pages = (total + size - 1) // size
    return Answer(body={"items": rows, "total": total, "page": page, "size": size, "pages": pages})


def bearer(authorization: str | None) -> str:
    """Give the user that an Authorization field stands for: one fixed user for any bearer token."""
    scheme, _, token = (authorization or "").partition(" ")
    return USER if scheme.lower() == "bearer" and token.strip() else ""
