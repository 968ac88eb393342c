"""Columns of the scoreboard: kept, retired, and given away only when nobody can count in them."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pcs_gateway.processes.columns import Column, Columns, ColumnsExhaustedError

ONE, TWO, THREE = ("pcs", "http://one"), ("pcs", "http://two"), ("pcs", "http://three")


class TestAllotment:
    def test_each_backend_gets_a_column(self) -> None:
        """Different backends have different columns, from the first on."""
        columns = Columns().allot([ONE, TWO, ONE], version=1)

        assert [0, 1, 2] == [columns.column(*ONE).index, columns.column(*TWO).index, columns.width]

    def test_same_url_in_two_pools_is_two_backends(self) -> None:
        """A column belongs to a backend of one pool."""
        columns = Columns().allot([("a", "http://x"), ("b", "http://x")], version=1)

        assert columns.column("a", "http://x") != columns.column("b", "http://x")

    def test_backend_keeps_its_column(self) -> None:
        """What stays configured keeps column and generation through every change."""
        before = Columns().allot([ONE, TWO], version=1)

        after = before.allot([TWO, THREE], version=2)

        assert after.column(*TWO) == before.column(*TWO)
        assert 2 == after.column(*THREE).index

    def test_removed_backend_retires(self) -> None:
        """A removed backend keeps its column, with the first version without it, through later versions."""
        columns = Columns().allot([ONE, TWO], version=1).allot([TWO], version=5).allot([TWO], version=6)

        assert columns.column(*ONE) == Column("pcs", "http://one", 0, 1, retired=5)

    def test_returning_backend_gets_its_old_column(self) -> None:
        """A backend that comes back while it drains counts on where it counted."""
        columns = Columns().allot([ONE], version=1).allot([], version=2).allot([ONE], version=3)

        assert columns.column(*ONE) == Column("pcs", "http://one", 0, 1)

    def test_unknown_backend_has_none(self) -> None:
        """Asking for a backend without a column is an error."""
        with pytest.raises(KeyError):
            Columns().column(*ONE)

    def test_too_many_backends_are_refused(self) -> None:
        """With the draining ones in the way it says how many there are."""
        columns = Columns(size=2).allot([ONE, TWO], version=1)

        with pytest.raises(ColumnsExhaustedError, match="2 backends are configured and 1 more still drain"):
            columns.allot([ONE, THREE], version=2)

    def test_survives_being_stored(self) -> None:
        """The next control process reads what this one stored."""
        columns = Columns().allot([ONE, TWO], version=1).allot([TWO], version=2)

        assert msgspec.json.decode(msgspec.json.encode(columns), type=Columns) == columns


class TestReclaiming:
    RETIRED = Columns().allot([ONE, TWO], version=1).allot([TWO], version=5)

    def test_free_when_zero_and_acknowledged(self) -> None:
        """A retired column goes to the next backend, with a new generation."""
        columns = self.RETIRED.reclaim(lambda _: True, acknowledged=5).allot([TWO, THREE], version=6)

        assert columns.column(*THREE) == Column("pcs", "http://three", 0, 2)

    def test_kept_while_somebody_counts_in_it(self) -> None:
        """A column that is not zero in every row is not given away."""
        assert self.RETIRED == self.RETIRED.reclaim(lambda index: index != 0, acknowledged=5)

    def test_kept_until_every_worker_knows(self) -> None:
        """A column is not given away before the snapshot without its backend is acknowledged."""
        assert self.RETIRED == self.RETIRED.reclaim(lambda _: True, acknowledged=4)

    def test_configured_column_is_never_freed(self) -> None:
        """A backend that is configured keeps its column while nothing counts in it."""
        columns = Columns().allot([ONE], version=1)

        assert columns.reclaim(lambda _: True, acknowledged=9) is columns


class ColumnsOfARunningGateway(RuleBasedStateMachine):
    """
    A gateway whose workers apply snapshots late, lease, end leases and die, in any order.

    A worker leases from the snapshot it has acknowledged and ends a lease in the column where it began. If
    columns were given away too early, two backends would count in one column of one generation, or a count
    would be left over.
    """

    BACKENDS = st.sets(st.sampled_from([("p", f"http://{letter}") for letter in "abcde"]))

    @initialize()
    def begin(self) -> None:
        """Two workers, no backend; four columns, so that they must be used again."""
        self.columns = Columns(size=6)
        self.version = 0
        self.snapshots: dict[int, dict[tuple[str, str], Column]] = {0: {}}
        self.acknowledged = [0, 0]
        self.leases: list[list[tuple[tuple[str, str], Column]]] = [[], []]

    @rule(backends=BACKENDS)
    def publish(self, backends: set[tuple[str, str]]) -> None:
        """A reload."""
        self.reclaim()
        try:
            self.columns = self.columns.allot(sorted(backends), self.version + 1)
        except ColumnsExhaustedError:
            return
        self.version += 1
        self.snapshots[self.version] = {one: self.columns.column(*one) for one in backends}

    @rule(worker=st.integers(0, 1), behind=st.integers(0, 2))
    def apply(self, worker: int, behind: int) -> None:
        """A worker acknowledges a snapshot, perhaps not the newest, never an older one."""
        self.acknowledged[worker] = max(self.acknowledged[worker], self.version - behind)

    @rule(worker=st.integers(0, 1), choice=st.integers(0, 100))
    def lease(self, worker: int, choice: int) -> None:
        """A worker leases a backend that it knows."""
        known = sorted(self.snapshots[self.acknowledged[worker]].items())
        if known:
            self.leases[worker].append(known[choice % len(known)])

    @rule(worker=st.integers(0, 1), choice=st.integers(0, 100))
    def end(self, worker: int, choice: int) -> None:
        """A lease ends."""
        if self.leases[worker]:
            del self.leases[worker][choice % len(self.leases[worker])]

    @rule(worker=st.integers(0, 1))
    def die(self, worker: int) -> None:
        """A worker dies, its row is emptied; the next one starts from the newest snapshot."""
        self.leases[worker] = []
        self.acknowledged[worker] = self.version

    @rule()
    def reclaim(self) -> None:
        """The control process frees what it may."""
        in_use = {column.index for leases in self.leases for _, column in leases}
        self.columns = self.columns.reclaim(lambda index: index not in in_use, min(self.acknowledged))

    @rule()
    def restart_control(self) -> None:
        """The next control process reads what was stored."""
        self.columns = msgspec.json.decode(msgspec.json.encode(self.columns), type=Columns)

    @invariant()
    def no_column_counts_for_two(self) -> None:
        """All leases and all known snapshots agree whose a column is."""
        owners: dict[int, tuple[str, str]] = {}
        known = [item for version in self.acknowledged for item in self.snapshots[version].items()]
        for backend, column in [*known, *(lease for leases in self.leases for lease in leases)]:
            assert owners.setdefault(column.index, backend) == backend
            assert self.columns.column(*backend).generation == column.generation


TestColumnsOfARunningGateway = ColumnsOfARunningGateway.TestCase
TestColumnsOfARunningGateway.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
