"""What one worker knows against one backend by itself, beside what the control process publishes."""

from __future__ import annotations

from pcs_gateway.backends.outlier.hanging import Pace
from pcs_gateway.backends.outlier.repetition import NEVER_EJECTED
from pcs_gateway.backends.outlier.ways import Way


class OwnEvidence:
    """
    The evidence of one worker against one backend.

    Attributes:
        reported: How many of the member's successes the control process was told of.
        answers: Answers that are no successes (yet), since the last look.
        suspected: Failures of which it is not known yet whether they follow their request.
        way: How the last failure went.
        repetition: How often in a row this worker skipped the backend.
        earlier: The same before the last skip, should that be denied.
        is_suspended: It is skipped on suspicion only, until it answers.
        pace: How it answers.
    """

    __slots__ = ("answers", "earlier", "is_suspended", "pace", "repetition", "reported", "suspected", "way")

    def __init__(self) -> None:
        self.reported = 0
        self.answers = 0
        self.suspected = 0
        self.way: Way | None = None
        self.repetition = NEVER_EJECTED
        self.earlier = NEVER_EJECTED
        self.is_suspended = False
        self.pace = Pace()
