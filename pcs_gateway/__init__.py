"""An asynchronous reverse proxy and load balancer in front of PCS instances."""

__version__ = "0.1.0"
