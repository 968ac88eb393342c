"""How one instance is set up."""

from dataclasses import dataclass, field

from pcs_gateway.sample.faults import NO_FAULTS, Faults


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """
    One instance.

    Attributes:
        host: The address it listens on.
        port: The port; 0 takes a free one.
        instance: Its name, in `X-PCS-Instance`.
        database: A file that several instances share, or ":memory:".
        keep_alive: Seconds after an answer until an idle connection is closed; uvicorn's default.
        as_is: Answer 500 where PCS as it is shipped does, instead of what it means to.
        trusted_host: As in PCS's production mode, only this Host, `localhost` and `127.0.0.1` are served;
            "" serves any.
        allowed_origins: Whose cross-origin requests are allowed.
        faults: What goes wrong from the start.
        seed: Of chance, so that a run can be repeated; None: by the system.
        may_die: The instance is a process of its own, which may be ordered to end.
    """

    host: str = "127.0.0.1"
    port: int = 0
    instance: str = "one"
    database: str = ":memory:"
    keep_alive: float = 5.0
    as_is: bool = False
    trusted_host: str = ""
    allowed_origins: tuple[str, ...] = ("http://localhost:3000",)
    faults: Faults = field(default=NO_FAULTS)
    seed: int | None = None
    may_die: bool = False
