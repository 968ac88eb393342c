"""
The sample PCS: a small, honest stand-in for demos, tests and benchmarks, with faults to order.

It has PCS's routes, health endpoints, status codes and peculiarities as they were observed on running
instances; none of PCS's code. Where it differs:

- it answers as PCS means to; with `--as-is` as it is shipped, 500 after many a write that was committed;
- concurrent writes lose nothing, names stay unique, and instances that start together do not collide;
- a missing or repeated Host is 400, and parse errors have aiohttp's text, as aiohttp is the server;
- `X-PCS-Instance`, `/api/v1/health/resources` and `/sample/…` are its own.
"""

from pcs_gateway.sample.config import SampleConfig
from pcs_gateway.sample.faults import Database, Ending, Faults
from pcs_gateway.sample.server import SampleServer

__all__ = ["Database", "Ending", "Faults", "SampleConfig", "SampleServer"]
