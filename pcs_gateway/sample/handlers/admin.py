"""The administrative routes: a bearer token is asked for, two always fail, three are stubs."""

from pcs_gateway.sample.call import Answer, Call
from pcs_gateway.sample.errors import PcsError
from pcs_gateway.sample.faults import Database
from pcs_gateway.sample.schemas import CacheManagement, Maintenance, UserManagement
from pcs_gateway.sample.seed import USER

TABLES = ["prompts", "contexts", "conversations"]


def detailed_health(call: Call) -> Answer:
    """Answer 200 even when the database is down: "degraded"."""
    is_up = call.service.faults.current.database is Database.UP
    return Answer(
        body={
            "status": "healthy" if is_up else "degraded",
            "timestamp": call.now(),
            "checks": {"database": {"status": "healthy" if is_up else "unhealthy"}},
        }
    )


def list_users(call: Call) -> Answer:
    """Give the one fixed user."""
    return Answer(body={"users": [{"id": USER, "username": USER, "is_admin": True}], "total": 1})


def show_configuration(call: Call) -> Answer:
    """Give the settings that are no secret."""
    return Answer(body={"app_name": "PCS", "environment": "development", "debug": False})


def list_logs(call: Call) -> Answer:
    """Give no logs: a stub."""
    return Answer(body={"logs": [], "total": 0})


def show_statistics(call: Call) -> Answer:
    """Fail, as PCS always does here."""
    raise PcsError(500, "Failed to get system stats: module 'psutil' has no attribute 'platform'")


def show_query_performance(call: Call) -> Answer:
    """Fail, as PCS always does here."""
    raise PcsError(500, 'Failed to get query performance: relation "pg_stat_statements" does not exist')


def maintain_database(call: Call) -> Answer:
    """Say what would be maintained."""
    maintenance = call.decode(Maintenance)
    return Answer(
        body={
            "operation": maintenance.operation,
            "dry_run": maintenance.dry_run,
            "tables_processed": maintenance.tables or TABLES,
            "errors": [],
        }
    )


def manage_cache(call: Call) -> Answer:
    """Say what was asked: a stub."""
    return Answer(body={"operation": call.decode(CacheManagement).operation, "status": "completed"})


def manage_users(call: Call) -> Answer:
    """Say what was asked: a stub."""
    request = call.decode(UserManagement)
    return Answer(body={"action": request.action, "processed": request.user_ids, "errors": []})
