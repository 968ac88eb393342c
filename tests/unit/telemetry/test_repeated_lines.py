"""When a line is said again."""

from pcs_gateway.telemetry.repeated_lines import SAY_AGAIN_SECONDS, RepeatedLines


def test_line_is_said_at_once_and_then_after_a_while() -> None:
    """What is asked for meanwhile does not put it off."""
    lines = RepeatedLines()

    said = [now for now in range(25) if lines.may_say("one", float(now))]

    assert said == [0, SAY_AGAIN_SECONDS, 2 * SAY_AGAIN_SECONDS]


def test_lines_are_told_apart() -> None:
    """Another line is not held back by the first."""
    lines = RepeatedLines()

    assert [lines.may_say(line, 5.0) for line in ("one", "two", "one")] == [True, True, False]
