"""What the demo says: where everything is, and five things to try, as commands that can be copied."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping

from pcs_gateway.cli.demonstration.layout import INSTANCES, LOOPBACK, Layout
from pcs_gateway.sample.seed import prompt_id

NINE = (
    "for i in 1 2 3 4 5 6 7 8 9; do curl -s -o /dev/null -D - {url}; done"
    " | grep -i x-pcs-instance | sort | uniq -c"
)
PACKAGES = {"curl": "curl", "ab": "apache2-utils"}
"""Programs that the commands use, and the Debian package that brings each."""

KILLED, DRAINED, FAVOURED = "two", "three", "one"
"""Which instance is killed, drained, and given more weight."""


def guide(
    layout: Layout,
    pids: Mapping[str, int],
    demo_pid: int,
    program: str,
    which: Callable[[str], str | None],
) -> str:
    """
    Return the whole text.

    Args:
        layout: Where everything is.
        pids: Of the instances, and of the gateway as "gateway".
        demo_pid: Of the demo itself, which starts dead instances again when it gets SIGUSR1.
        program: What to type for `pcs-gateway`.
        which: Finds a program, as `shutil.which` does.
    """
    return "\n".join(
        [*places(layout, pids), "", *things_to_try(layout, pids, demo_pid, program), *missing(which)]
    )


def places(layout: Layout, pids: Mapping[str, int]) -> Iterator[str]:
    """Say where everything is."""
    yield "Three sample PCS instances behind one gateway:"
    yield ""
    yield f"  traffic        {layout.url}/api/v1/prompts/?size=3"
    yield f"  admin          {layout.admin_url}/api/v1/status   {layout.admin_url}/metrics"
    yield f"  gateway        pid {pids['gateway']}, its log is {layout.gateway_log}"
    for name in INSTANCES:
        yield f"  {f'instance {name}':<14} pid {pids[name]}, http://{LOOPBACK}:{layout.instance_ports[name]}"
    yield f"  configuration  {layout.configuration}"


def things_to_try(layout: Layout, pids: Mapping[str, int], demo_pid: int, program: str) -> Iterator[str]:
    """Say what to try, each with its command and what it then shows."""
    admin = f"--admin {layout.admin_url}"
    file = shlex.quote(str(layout.configuration))
    yield "Five things to try in another terminal:"
    yield ""
    yield "1. Ask nine times. Every instance answers three times:"
    yield f"     {NINE.format(url=f'{layout.url}/api/v1/health/')}"
    yield ""
    yield f"2. Kill instance {KILLED}. No request fails and it is out within two seconds; then bring it back:"
    yield f"     kill -9 {pids[KILLED]}"
    yield f"     kill -USR1 {demo_pid}"
    yield ""
    yield f"3. Drain instance {DRAINED}. Nine requests go to the others; then give it its share again:"
    yield f"     {program} backend drain pcs {DRAINED} {admin}"
    yield f"     {program} backend enable pcs {DRAINED} {admin}"
    yield ""
    yield f"4. Edit the configuration. With weight 7 for {FAVOURED}, nine requests are 7, 1 and 1; then undo:"
    yield f"     sed -i '/name: {FAVOURED}/s/weight: 1/weight: 7/' {file}"
    yield f"     sed -i '/name: {FAVOURED}/s/weight: 7/weight: 1/' {file}"
    yield ""
    yield "5. Load it. 2,000 requests on 16 connections that are kept alive, none fails:"
    yield f"     ab -k -n 2000 -c 16 {layout.url}/api/v1/prompts/{prompt_id(1)}"
    yield ""
    yield f"See it all:  {program} status {admin}"
    yield "Your requests take the pool pcs; the demo's own traffic has a pool of its own, background."
    yield "Ctrl-C ends everything."


def missing(which: Callable[[str], str | None]) -> Iterator[str]:
    """Say which programs the commands lack."""
    for name, package in PACKAGES.items():
        if which(name) is None:
            yield f"{name} is not installed here: apt install {package}"
