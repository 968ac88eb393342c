"""What the supervisor decides: when to start again, and who is silent."""

from pcs_gateway.processes.judgement import Vigil, restart_delay


def test_delay_doubles_up_to_thirty_seconds() -> None:
    """The delay is none after a long life, then 1, 2, 4 … 30 seconds."""
    assert [0, 1, 2, 4, 8, 16, 30, 30] == [restart_delay(deaths) for deaths in range(8)]
    assert 30 == restart_delay(10_000)


class TestVigil:
    def test_silence_is_counted_from_the_last_sign(self) -> None:
        """A process is silent when its last sign is older than allowed, not when it is as old."""
        vigil = Vigil(100.0)
        for tick in range(1, 41):
            vigil.look(100.0 + tick / 4)

        assert vigil.is_silent(110.0, 104.9, 5.0)
        assert not vigil.is_silent(110.0, 105.0, 5.0)

    def test_absence_is_forgiven(self) -> None:
        """After the supervisor was away everybody has the full time from its return."""
        vigil = Vigil(100.0)

        was_away = vigil.look(160.0)

        assert was_away
        assert not vigil.is_silent(164.9, 99.0, 5.0)
        for tick in range(1, 21):
            assert not vigil.look(160.0 + tick / 4)
        assert vigil.is_silent(165.1, 99.0, 5.0)

    def test_regular_looks_are_no_absence(self) -> None:
        """A look that is somewhat late forgives nothing."""
        vigil = Vigil(100.0)

        assert [False, False, True] == [vigil.look(101.0), vigil.look(101.9), vigil.look(103.0)]
