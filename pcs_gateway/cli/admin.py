"""
The admin API of a running gateway, as the verbs of the command line use it.

It is found by `--admin URL`, else as `finding` says. The token comes from PCS_GATEWAY_ADMIN_TOKEN, else from
the configuration.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, urlsplit

import typer

from pcs_gateway.cli.finding import find
from pcs_gateway.errors import CommandError

TOKEN_VARIABLE = "PCS_GATEWAY_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
ANSWER_TIMEOUT = 30.0
"""Seconds that the gateway is given to answer what it can answer at once, a new generation included."""

AdminOption = Annotated[
    str | None,
    typer.Option(
        "--admin", metavar="URL", help="Where the admin API is. Default: found by the configuration."
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The running gateway's file. Default: config/gateway.yaml."
    ),
]


class Answer(NamedTuple):
    """
    What the admin API answered.

    Attributes:
        status: Below 400, unless the caller said which errors it takes.
        body: The JSON of the answer.
    """

    status: int
    body: dict[str, Any]


class AdminClient:
    """
    Talks to one gateway.

    Attributes:
        url: Without path.
    """

    def __init__(self, url: str, token: str = "", hint: str = "") -> None:
        """
        Talk to the gateway whose admin API is at `url`.

        Args:
            hint: What to say when nobody answers there.

        Raises:
            CommandError: That is no http URL.
        """
        parts = urlsplit(url if "//" in url else f"//{url}", scheme="http")
        if parts.scheme != "http" or not parts.hostname:
            raise CommandError(
                f"--admin {url}: not the URL of an admin API, such as http://127.0.0.1:9901", 2
            )
        self.url = f"http://{parts.netloc}"
        self._netloc = parts.netloc
        self._hint = f" ({hint})" if hint else ""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __repr__(self) -> str:
        return f"<AdminClient of {self.url}>"

    def get(self, path: str) -> dict[str, Any]:
        """Return a document. Raises CommandError."""
        return self._ask("GET", path, None, ANSWER_TIMEOUT, ()).body

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float = ANSWER_TIMEOUT,
        taken: tuple[int, ...] = (),
    ) -> Answer:
        """Order something; errors with a status in `taken` are returned. Raises CommandError for others."""
        return self._ask("POST", path, json.dumps(body or {}), timeout, taken)

    def _ask(
        self, method: str, path: str, body: str | None, timeout: float, taken: tuple[int, ...]
    ) -> Answer:
        connection = http.client.HTTPConnection(self._netloc, timeout=timeout)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            answer = Answer(response.status, _object(response.read()))
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"no gateway answers at {self.url}: {_reason(error)}{self._hint}") from error
        finally:
            connection.close()
        if answer.status >= 400 and answer.status not in taken:
            raise CommandError(f"{self.url} answered {answer.status}: {_message(answer)}")
        return answer


def connect(admin: str | None, config: Path | None, environ: Mapping[str, str]) -> AdminClient:
    """Find the gateway that the options mean. Raises CommandError."""
    token = environ.get(TOKEN_VARIABLE, "")
    if admin is not None:
        return AdminClient(admin, token)
    found = find(config, environ)
    return AdminClient(found.address, token or found.token, found.hint)


def backend_path(pool: str, backend: str, action: str = "") -> str:
    """Return the path of a backend, or of an action on it."""
    path = f"/api/v1/backends/{quote(pool, safe='')}/{quote(backend, safe='')}"
    return f"{path}/{action}" if action else path


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(answer: Answer) -> str:
    hint = f" (set {TOKEN_VARIABLE})" if answer.status == 401 else ""
    return f"{answer.body.get('message', 'this is no admin API of a gateway')}{hint}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
