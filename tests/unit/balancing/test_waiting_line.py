"""Who waits, in which order, for how long, and who is shed."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pcs_gateway.balancing.priority import Priority
from pcs_gateway.balancing.waiting_line import WaitingLine

HIGH, NORMAL, LOW = Priority


def line_of(*waiting: tuple[str, Priority, float]) -> WaitingLine[str]:
    """A line with a bound of 2 s, and of 5 ms in overload, in which these wait since then."""
    line = WaitingLine[str](2.0, 0.005)
    for one, priority, since in waiting:
        line.join(one, priority, since)
    return line


def served(line: WaitingLine[str], now: float) -> list[str]:
    """Everybody in the order of being served at once."""
    order = []
    while (first := line.first(now)) is not None:
        line.leave(*first, now)
        order.append(first[0])
    return order


def shed(line: WaitingLine[str], now: float) -> list[str]:
    """Everybody who is over the bound."""
    found = []
    for one, priority in line.over_bound(now):
        line.leave(one, priority, now)
        found.append(one)
    return found


class TestOrder:
    def test_first_come_first_served(self) -> None:
        """Without overload those of a class are served in the order of their coming."""
        line = line_of(("a", NORMAL, 1.0), ("b", NORMAL, 1.01), ("c", NORMAL, 1.02))

        assert ["a", "b", "c"] == served(line, 1.05)

    def test_newest_first_in_overload(self) -> None:
        """After 100 ms with waiters the newest is served first."""
        line = line_of(("a", NORMAL, 1.0), ("b", NORMAL, 1.01), ("c", NORMAL, 1.02))

        assert ["c", "b", "a"] == served(line, 1.11)

    def test_higher_class_first(self) -> None:
        """A higher class goes first, whoever came first."""
        line = line_of(("l", LOW, 1.0), ("n", NORMAL, 1.01), ("h", HIGH, 1.02), ("i", HIGH, 1.03))

        assert ["h", "i", "n", "l"] == served(line, 1.05)

    def test_overload_by_class(self) -> None:
        """Lower classes that stand do not turn the order of the higher ones."""
        line = line_of(("l", LOW, 1.0), ("m", LOW, 1.01), ("n", NORMAL, 1.06), ("o", NORMAL, 1.07))

        assert ["n", "o", "m", "l"] == served(line, 1.15)

    def test_higher_class_counts_for_the_lower(self) -> None:
        """Whoever waits behind a queue that stands waits in one."""
        line = line_of(("n", NORMAL, 1.0), ("l", LOW, 1.08), ("m", LOW, 1.09))

        assert ["n", "m", "l"] == served(line, 1.11)

    def test_passing_over(self) -> None:
        """Who cannot be served now is left out, and stays."""
        line = line_of(("a", NORMAL, 1.0), ("b", NORMAL, 1.01))

        assert ("b", NORMAL) == line.first(1.02, ["a"])
        assert line.first(1.02, ["a", "b"]) is None
        assert 2 == len(line)


class TestBounds:
    def test_timeout(self) -> None:
        """Without overload one waits for the timeout, exactly."""
        line = WaitingLine[str](0.0625, 0.005)
        line.join("a", NORMAL, 1.0)

        assert [] == shed(line, 1.0624)
        assert ["a"] == shed(line, 1.0625)

    def test_overload_timeout(self) -> None:
        """In overload one waits for the short bound, whoever came before it began too."""
        line = line_of(("a", NORMAL, 1.0), ("b", NORMAL, 1.05), ("c", NORMAL, 1.106))

        assert [] == shed(line, 1.09)
        assert ["a", "b"] == shed(line, 1.11)
        assert ["c"] == shed(line, 1.112)

    def test_short_bound_is_never_the_longer_one(self) -> None:
        """`overload_timeout` above `timeout` changes nothing."""
        line = WaitingLine[str](0.01, 5.0)
        line.join("a", NORMAL, 1.0)

        assert 0.01 == line.overload_timeout
        assert ["a"] == shed(line, 1.011)

    def test_lower_classes_are_shed_first(self) -> None:
        """Of those who are over their bound the lowest class goes first, and in it the oldest."""
        line = line_of(("n", NORMAL, 1.0), ("l", LOW, 1.01), ("m", LOW, 1.02))

        assert ["l", "m", "n"] == shed(line, 1.2)

    def test_highest_class_is_given_more_time(self) -> None:
        """Its queue has to stand four times as long until it is overloaded."""
        line = line_of(("h", HIGH, 1.0), ("n", NORMAL, 1.0))

        assert ["n"] == shed(line, 1.2)
        assert ["h"] == shed(line, 1.41)

    def test_slow_attempts(self) -> None:
        """Where an attempt takes half a second, waiting for as long is no overload; the timeout caps that."""
        line = line_of(("a", NORMAL, 1.0))
        line.expect(0.5)
        assert [] == shed(line, 1.4)
        line.expect(3600.0)
        line.join("b", NORMAL, 2.99)

        assert ["a", "b"] == shed(line, 3.0)

    def test_changed_bounds(self) -> None:
        """A reload changes how long those wait who wait already."""
        line = line_of(("a", NORMAL, 1.0))
        line.configure(0.03, 0.005)

        assert ["a"] == shed(line, 1.031)


class TestFullQueue:
    def test_lower_class_makes_room(self) -> None:
        """The oldest of the lowest class below gives its place to a newcomer."""
        line = line_of(("n", NORMAL, 1.0), ("l", LOW, 1.01), ("m", LOW, 1.02))

        assert ("l", LOW) == line.displaced_by(HIGH, 1.05)
        assert ("l", LOW) == line.displaced_by(NORMAL, 1.05)

    def test_nobody_makes_room_for_an_equal(self) -> None:
        """Those who came first stay."""
        line = line_of(("n", NORMAL, 1.0), ("h", HIGH, 1.0))

        assert line.displaced_by(NORMAL, 1.05) is None
        assert line.displaced_by(LOW, 1.05) is None

    def test_oldest_makes_room_in_overload(self) -> None:
        """In overload the newest goes first, so the oldest of the class gives way."""
        line = line_of(("a", NORMAL, 1.0), ("b", NORMAL, 1.05), ("h", HIGH, 1.0))

        assert ("a", NORMAL) == line.displaced_by(NORMAL, 1.11)


class Waiting(RuleBasedStateMachine):
    """Everybody who joins leaves once, in an order that the rules allow, whatever happens in between."""

    def __init__(self) -> None:
        super().__init__()
        self.line = WaitingLine[int](0.2, 0.005)
        self.now = 1000.0
        self.next = 0
        self.waiting: dict[int, tuple[Priority, float]] = {}

    @rule(pause=st.floats(0.0, 0.15))
    def let_time_pass(self, pause: float) -> None:
        self.now += pause

    @rule(priority=st.sampled_from(Priority))
    def join(self, priority: Priority) -> None:
        self.line.join(self.next, priority, self.now)
        self.waiting[self.next] = (priority, self.now)
        self.next += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.waiting)))
        priority, since = self.waiting.pop(one)
        assert priority == self.line.priority_of(one)
        assert self.now - since == self.line.leave(one, priority, self.now)

    @rule()
    def serve(self) -> None:
        first = self.line.first(self.now)
        assert (first is None) == (not self.waiting)
        if first is not None:
            one, priority = first
            assert priority == min(priority for priority, _ in self.waiting.values())
            peers = [other for other, (its, _) in self.waiting.items() if its == priority]
            assert one == (max if self.line.is_overloaded(priority, self.now) else min)(peers)
            self.line.leave(one, priority, self.now)
            del self.waiting[one]

    @rule()
    def shed(self) -> None:
        for one, priority in self.line.over_bound(self.now):
            assert self.now - self.waiting.pop(one)[1] >= self.line.bound(priority, self.now)
            self.line.leave(one, priority, self.now)
        for priority, since in self.waiting.values():
            assert self.now - since < self.line.bound(priority, self.now)

    @invariant()
    def everybody_is_counted(self) -> None:
        assert len(self.waiting) == len(self.line)


TestWaiting = Waiting.TestCase
