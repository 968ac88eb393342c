"""
The corpus through nginx: what it forwards is stored, and ours is compared with it.

`python -m tests.corpus.differential` takes the expectations anew, with the nginx that is installed, and
prints each difference with what each of the two forwards. `make test` needs no nginx: it compares with what
is stored.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, socket

import uvloop

from tests.corpus.differences import DIFFERENCES, LAXER, OTHERWISE, STRICTER
from tests.corpus.parsers import agreed, read_requests
from tests.corpus.requests import REQUESTS
from tests.corpus.running import Outcome, answer_and_close, end_to_end, run_requests
from tests.fakes.backend import ScriptedBackend
from tests.fakes.gateway import Gateway, one_pool

EXPECTATIONS = Path(__file__).parent / "nginx.jsonl"
"""A line for each case: its name, and what nginx forwarded of it."""

Request = tuple[str, str, str, tuple[tuple[str, str], ...]]
"""Method, target, body and end-to-end fields, sorted."""
Forwarded = tuple[Request, ...]

NGINX = """
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        merge_slashes off;
        lingering_close off;
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_ignore_client_abort on;
            proxy_next_upstream off;
        }}
    }}
}}
"""


def forwarded_requests(outcome: Outcome) -> Forwarded:
    """Give the requests that reached the backend, in the form in which they are compared."""
    requests = []
    for stream in outcome.forwarded:
        messages = agreed(read_requests(stream))
        for message in messages if messages is not None else ():
            method, target = message.start
            fields = tuple(sorted(end_to_end(message).elements()))
            requests.append((method, target, message.body.decode("latin-1"), fields))
        if messages is None:
            requests.append(("?", "", stream.decode("latin-1"), ()))
    return tuple(requests)


def difference(ours: Forwarded, theirs: Forwarded) -> str | None:
    """Tell in what way two proxies differ about a case."""
    if ours == theirs:
        return None
    if ours == theirs[: len(ours)]:
        return STRICTER
    return LAXER if theirs == ours[: len(theirs)] else OTHERWISE


def load_expectations() -> dict[str, Forwarded]:
    """Give what nginx forwarded of each case."""
    expectations: dict[str, Forwarded] = {}
    for line in EXPECTATIONS.read_text("utf-8").splitlines():
        name, requests = json.loads(line)
        expectations[name] = tuple(
            (method, target, body, tuple((field, value) for field, value in fields))
            for method, target, body, fields in requests
        )
    return expectations


def store_expectations(expectations: dict[str, Forwarded]) -> None:
    """Write them, a line for each case."""
    lines = (json.dumps(entry, separators=(",", ":")) for entry in expectations.items())
    EXPECTATIONS.write_text("".join(line + "\n" for line in lines), "utf-8")


@contextmanager
def running_nginx(backend: int) -> Iterator[int]:
    """Run nginx before a backend as long as the context lasts; give its port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        sys.exit("nginx is not installed (make system-packages)")
    with closing(socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = int(reserved.getsockname()[1])
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(NGINX.format(directory=directory, port=port, backend=backend))
        process = subprocess.Popen(
            [program, "-e", f"{directory}/e", "-p", directory, "-c", str(configuration)]
        )
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


async def take() -> tuple[dict[str, Forwarded], dict[str, Forwarded]]:
    """Send the corpus through both; give what nginx forwards, and what we do."""
    async with ScriptedBackend(answer_and_close) as backend:
        with running_nginx(backend.port) as port:
            theirs = await run_requests(port, backend, REQUESTS)
        pool = {"retry": {"attempts": 0}, "outlier_detection": {"consecutive_failures": 0}}
        async with Gateway(one_pool(backend.url, pool=pool)) as gateway:
            ours = await run_requests(gateway.port, backend, REQUESTS)
    return (
        {name: forwarded_requests(outcome) for name, outcome in theirs.items()},
        {name: forwarded_requests(outcome) for name, outcome in ours.items()},
    )


def main() -> None:
    """Store what nginx forwards, and print the differences."""
    theirs, ours = uvloop.run(take())
    store_expectations(theirs)
    for name, forwarded in ours.items():
        kind = difference(forwarded, theirs[name])
        if kind:
            known = [d.section for d in DIFFERENCES if d.covers(name, kind)] or ["NOT REVIEWED"]
            print(f"{kind}: {name}: {', '.join(known)}\n    ours  {forwarded}\n    nginx {theirs[name]}")  # noqa: T201


if __name__ == "__main__":
    main()
