"""Deltas over a channel that breaks: none lost, none added twice."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pcs_gateway.processes.delivery import Inbox, Outbox
from pcs_gateway.processes.messages import Measurements
from pcs_gateway.telemetry.delta import Delta


def delta(count: int) -> Delta:
    """A delta that says `count`."""
    return Delta(reasons={"refused": count})


class TestOutbox:
    def test_nothing_to_send_at_first(self) -> None:
        """An empty outbox sends nothing, and an empty delta does not fill it."""
        outbox = Outbox()
        outbox.add(Delta())

        assert (None, True) == (outbox.send_next(), outbox.is_empty)

    def test_one_delta_is_under_way_at_a_time(self) -> None:
        """While one is not acknowledged, what comes is merged and waits."""
        outbox = Outbox()
        outbox.add(delta(1))
        first = outbox.send_next()
        outbox.add(delta(2))
        outbox.add(delta(3))

        assert first == Measurements(1, delta(1))
        assert outbox.send_next() is None
        assert outbox.under_way == Measurements(1, delta(1)), "unchanged, to be sent again"

        outbox.acknowledge(1)

        assert outbox.send_next() == Measurements(2, delta(5))

    def test_strange_acknowledgement_changes_nothing(self) -> None:
        """Only the delta under way can be acknowledged."""
        outbox = Outbox()
        outbox.add(delta(1))
        outbox.send_next()

        outbox.acknowledge(7)

        assert outbox.under_way == Measurements(1, delta(1))


class TestInbox:
    def test_each_sequence_number_is_new_once(self) -> None:
        """A repeated delta is not new, another worker's with the same number is."""
        inbox = Inbox()

        assert [
            True,
            False,
            True,
            True,
        ] == [inbox.is_new(5, 1), inbox.is_new(5, 1), inbox.is_new(6, 1), inbox.is_new(5, 2)]

    def test_the_dead_are_forgotten(self) -> None:
        """Only the living take up memory."""
        inbox = Inbox()
        inbox.is_new(5, 1)
        inbox.is_new(6, 1)

        inbox.forget_all_but({6})

        assert "<Inbox: last sequence by incarnation {6: 1}>" == repr(inbox)


class BreakingChannel(RuleBasedStateMachine):
    """A channel that carries messages in order and breaks anywhere, losing what is on it both ways."""

    @initialize()
    def begin(self) -> None:
        """One worker, one control process."""
        self.outbox, self.inbox = Outbox(), Inbox()
        self.to_control: list[Measurements] = []
        self.to_worker: list[int] = []
        self.measured = self.added = 0

    @rule(count=st.integers(1, 9))
    def measure(self, count: int) -> None:
        """Something is counted, and a second is over."""
        self.measured += count
        self.outbox.add(delta(count))
        self.send()

    @rule()
    def reach_control(self) -> None:
        """The oldest message arrives at the control process, which adds and acknowledges."""
        if self.to_control:
            message = self.to_control.pop(0)
            if self.inbox.is_new(1, message.sequence):
                self.added += message.delta.reasons["refused"]
            self.to_worker.append(message.sequence)

    @rule()
    def reach_worker(self) -> None:
        """The oldest acknowledgement arrives at the worker."""
        if self.to_worker:
            self.outbox.acknowledge(self.to_worker.pop(0))

    @rule()
    def break_and_dial(self) -> None:
        """The connection breaks with all that is on it, and there is a new one."""
        self.to_control, self.to_worker = [], []
        if self.outbox.under_way is not None:
            self.to_control.append(self.outbox.under_way)

    def send(self) -> None:
        """What the worker does once a second."""
        message = self.outbox.send_next()
        if message is not None:
            self.to_control.append(message)

    @invariant()
    def never_too_much(self) -> None:
        """Nothing is added that was not measured."""
        assert self.added <= self.measured

    def teardown(self) -> None:
        """When the channel holds at last, everything measured was added, once."""
        self.break_and_dial()
        while not self.outbox.is_empty:
            self.send()
            self.reach_control()
            self.reach_worker()
        assert self.added == self.measured


TestBreakingChannel = BreakingChannel.TestCase
TestBreakingChannel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
