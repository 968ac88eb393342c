"""The health endpoints, the root, and what the instance says of its own resources."""

import platform
from typing import Any

import psutil

from pcs_gateway.sample.call import Answer, Call
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.faults import Database

VERSION = "1.0.0"
BUSY_CPU_PERCENT = 90
"""Above this use of the machine's CPU the detailed check answers 503, though the instance serves well."""


def root(call: Call) -> Answer:
    """Say what this is."""
    return Answer(
        body={
            "name": "PCS",
            "version": VERSION,
            "status": "operational",
            "environment": "development",
            "docs_url": "/docs",
            "api_version": "v1",
            "api_prefix": "/api/v1",
        }
    )


def basic(call: Call) -> Answer:
    """Say that the service is there."""
    return Answer(
        body={"status": "healthy", "service": "PCS", "timestamp": _now(call), "version": VERSION},
    )


def liveness(call: Call) -> Answer:
    """Say that the process lives, whatever the database does."""
    return Answer(
        body={
            "status": "alive",
            "service": "PCS",
            "timestamp": _now(call),
            "message": "Service is alive and responsive",
        }
    )


def readiness(call: Call) -> Answer:
    """Say whether the database answers."""
    started = call.service.clock.monotonic()
    faults = call.service.faults.current
    body: dict[str, Any] = {"status": "ready", "service": "PCS", "timestamp": _now(call)}
    if faults.not_ready or faults.database is Database.DOWN:
        body["error"] = "not ready by order" if faults.not_ready else "connection to the database refused"
        body |= {"status": "not_ready", "response_time_ms": _milliseconds_since(call, started)}
        raise PcsError(503, body | {"message": "Service is not ready to receive traffic"})
    call.store.ping()
    body["response_time_ms"] = _milliseconds_since(call, started)
    return Answer(body=body | {"message": "Service is ready to receive traffic"})


def detailed(call: Call) -> Answer:
    """Look at everything, which blocks the whole instance for a second."""
    cpu_percent = psutil.cpu_percent(interval=1)
    database_is_up = call.service.faults.current.database is Database.UP
    checks: list[dict[str, Any]] = [
        {"name": "database", "status": "healthy" if database_is_up else "unhealthy"},
        {"name": "configuration", "status": "healthy"},
        {
            "name": "system_resources",
            "status": "healthy" if cpu_percent <= BUSY_CPU_PERCENT else "warning",
            "details": {
                "cpu": {"usage_percent": cpu_percent, "count": psutil.cpu_count()},
                "platform": {"system": platform.system(), "python_version": platform.python_version()},
            },
        },
    ]
    healthy = sum(check["status"] == "healthy" for check in checks)
    body = {
        "status": "healthy" if healthy == len(checks) else "unhealthy",
        "service": "PCS",
        "version": VERSION,
        "timestamp": _now(call),
        "checks": checks,
        "summary": {"total_checks": len(checks), "healthy_checks": healthy},
    }
    if healthy < len(checks):
        raise PcsError(503, body)
    return Answer(body=body)


def resources(call: Call) -> Answer:
    """Tell CPU (share of one core) and memory (share of the machine's); PCS has no such route."""
    usage = call.service.resources
    faults = call.service.faults.current
    cpu_usage = usage.cpu_usage() if faults.cpu_usage is None else faults.cpu_usage
    memory_usage = usage.memory_usage() if faults.memory_usage is None else faults.memory_usage
    return Answer(
        body={
            "instance": call.service.instance,
            "cpu_usage": round(cpu_usage, 4),
            "memory_usage": round(memory_usage, 6),
            "memory_bytes": usage.memory_bytes(),
            "timestamp": _now(call),
        }
    )


def _now(call: Call) -> float:
    return call.service.clock.time()


def _milliseconds_since(call: Call, started: float) -> float:
    return round((call.service.clock.monotonic() - started) * 1000, 2)
