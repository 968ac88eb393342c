"""Ordering faults: routes of the sample's own, outside of PCS's prefix, which no fault touches."""

import os
import signal

import msgspec

from pcs_gateway.sample.call import Answer, Call
from pcs_gateway.sample.errors import PcsError, UnprocessableError, unprocessable_parameter
from pcs_gateway.sample.faults import Faults

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "STOP": signal.SIGSTOP}


def show_faults(call: Call) -> Answer:
    """Give the faults in force."""
    return Answer(body=call.service.faults.current)


def replace_faults(call: Call) -> Answer:
    """Put exactly these faults in force; what is not named does not happen."""
    return _put_in_force(call, {})


def change_faults(call: Call) -> Answer:
    """Change the faults that are named."""
    return _put_in_force(call, msgspec.to_builtins(call.service.faults.current))


def reset_faults(call: Call) -> Answer:
    """Go back to the faults the instance was started with."""
    call.service.faults.reset()
    return show_faults(call)


def _put_in_force(call: Call, base: dict[str, object]) -> Answer:
    try:
        members = msgspec.json.decode(call.body, type=dict[str, object])
        faults = msgspec.convert(base | members, type=Faults)
    except msgspec.MsgspecError as error:
        raise UnprocessableError([{"type": "fault", "loc": ["body"], "msg": str(error)}]) from error
    call.service.faults.replace(faults)
    return show_faults(call)


def die(call: Call) -> Answer:
    """Send this process the signal named in the query (KILL unless said otherwise): KILL, TERM or STOP."""
    name = call.query.get("signal", "KILL").upper()
    if name not in SIGNALS:
        raise unprocessable_parameter("query", "signal", name, f"Input should be one of {', '.join(SIGNALS)}")
    if not call.service.may_die:
        raise PcsError(403, "This instance lives inside another program")
    os.kill(os.getpid(), SIGNALS[name])
    return Answer(202, {"signal": name})
