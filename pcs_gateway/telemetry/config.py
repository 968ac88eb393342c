"""The section `logging`: the log of the gateway itself, and the access log."""

from __future__ import annotations

from typing import Literal

from pcs_gateway.section import Boolean, Section, Text
from pcs_gateway.units import Ratio


class AccessLogConfig(Section):
    """One JSON line for each exchange."""

    enabled: Boolean = True
    """Whether there is an access log."""

    sample: Ratio = 1.0
    """Share of the exchanges that are logged; refusals, errors (500 and above) and retries always are."""

    file: Text = "-"
    """Where to: a file, appended to, or - for standard output."""


class LoggingConfig(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level of the gateway's own log, which goes to standard error."""

    format: Literal["json", "text"] = "json"
    """One JSON object on each line, or text for people."""

    access: AccessLogConfig = AccessLogConfig()
    """The access log."""
