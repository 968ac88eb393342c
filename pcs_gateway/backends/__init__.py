"""Backends: the servers that take attempts, the pools they form, and what is known of them."""

from pcs_gateway.backends.backend import AdministrativeState, Backend, Health, HealthStatus
from pcs_gateway.backends.pool import PoolSnapshot

__all__ = ["AdministrativeState", "Backend", "Health", "HealthStatus", "PoolSnapshot"]
