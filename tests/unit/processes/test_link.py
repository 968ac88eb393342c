"""The link between supervisor and control process."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pcs_gateway.processes.link import link_pair, receive_packet, send_packet
from pcs_gateway.processes.plan import ListenPlan
from pcs_gateway.processes.supervisor_link import GenerationError, SupervisorLink


class Far:
    """The supervisor's end, and what the control process' end reported."""

    def __init__(self) -> None:
        self.socket, theirs = link_pair()
        self.heard: list[str] = []
        self.link = SupervisorLink(
            theirs.detach(), lambda: self.heard.append("drain"), lambda: self.heard.append("reload")
        )

    async def receive(self) -> dict[str, Any] | None:
        """The next packet, when it is there."""
        while True:
            try:
                return receive_packet(self.socket)
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def hear(self, message: dict[str, Any]) -> None:
        """Send a packet and let it be heard."""
        assert send_packet(self.socket, message)
        await asyncio.sleep(0.01)


@pytest.fixture
def far() -> Iterator[Far]:
    """Both ends."""
    made = Far()
    yield made
    made.socket.close()


class TestPackets:
    def test_packets_keep_their_bounds(self) -> None:
        """Each message is received by itself, however many were sent."""
        ours, theirs = link_pair()
        with ours, theirs:
            send_packet(ours, {"draining": True})
            send_packet(ours, {"reload": True})

            assert [{"draining": True}, {"reload": True}] == [receive_packet(theirs), receive_packet(theirs)]
            with pytest.raises(BlockingIOError):
                receive_packet(theirs)

    def test_end_is_seen_at_the_other(self) -> None:
        """When one end is gone the other receives none, and cannot send."""
        ours, theirs = link_pair()
        with ours:
            theirs.close()

            assert receive_packet(ours) is None
            assert not send_packet(ours, {})

    def test_stuck_reader_holds_nobody_up(self) -> None:
        """Who does not read is told no more; the sender learns it at once."""
        ours, theirs = link_pair()
        with ours, theirs:
            sent = 0
            while sent < 100_000 and send_packet(ours, {"reload": True}):
                sent += 1

            assert 0 < sent < 100_000

    @pytest.mark.parametrize("packet", [b"\xff", b"[]", b"{"])
    def test_anything_but_an_object_is_an_error(self, packet: bytes) -> None:
        """Only a JSON object is a message."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.send(packet)
            with pytest.raises(ValueError, match=r"JSON|decode|Expecting"):
                receive_packet(theirs)


class TestSupervisorLink:
    async def test_hears_drain_and_reload(self, far: Far) -> None:
        """What the supervisor tells is passed on, in order."""
        far.link.start()

        await far.hear({"reload": True})
        await far.hear({"draining": True})
        far.link.close()

        assert ["reload", "drain"] == far.heard

    async def test_asks_for_a_generation(self, far: Far) -> None:
        """A request carries addresses and workers; its answer is the number."""
        far.link.start()
        asking = asyncio.ensure_future(far.link.new_generation([ListenPlan("a:1", True)], 3))

        asked = await far.receive()
        await far.hear({"request": 1, "generation": 2})

        expected = {"request": 1, "listen": [{"address": "a:1", "tls": True}], "workers": 3}
        assert {"new_generation": expected} == asked
        assert 2 == await asking
        far.link.close()

    async def test_failure_says_why(self, far: Far) -> None:
        """A generation that did not come up is an error with the supervisor's words."""
        far.link.start()
        asking = asyncio.ensure_future(far.link.new_generation([], 3))

        await far.receive()
        await far.hear({"request": 9, "error": "of another request"})
        await far.hear({"request": 1, "error": "address in use"})

        with pytest.raises(GenerationError, match="address in use"):
            await asking
        far.link.close()

    async def test_supervisor_that_goes_answers_nobody(self, far: Far) -> None:
        """A request fails when the supervisor is gone; a later one too."""
        far.link.start()
        asking = asyncio.ensure_future(far.link.new_generation([], 3))

        await far.receive()
        far.socket.close()

        with pytest.raises(GenerationError, match="the supervisor is gone"):
            await asking
        with pytest.raises(GenerationError, match="takes no request now"):
            await far.link.new_generation([], 3)

    async def test_tells_new_drain_times(self, far: Far) -> None:
        """A reload may change how long the supervisor drains."""
        far.link.start()
        far.link.set_drain(1.0, 20.0)

        assert {"drain": {"delay": 1.0, "timeout": 20.0}} == await far.receive()
        far.link.close()
