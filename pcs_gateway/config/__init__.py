"""The configuration: composed, loaded, checked, compared and shown."""

from pcs_gateway.config.model import GatewayConfig

__all__ = ["GatewayConfig"]
