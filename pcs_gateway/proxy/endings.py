"""
The ends of an exchange that nobody wished for: a client that left, a deadline, a response that broke off.

The law of this file: a lease is never given back while the backend still works for it, unless its connection
is closed; `on_abandon: finish` keeps it counted until the backend has answered, since a backend such as PCS
works on for a client that is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pcs_gateway.http.refusals import Refusal
from pcs_gateway.proxy.attempts import Failure, had_its_time
from pcs_gateway.proxy.evidence import broke_off
from pcs_gateway.proxy.failing import attempt_failed
from pcs_gateway.proxy.hedging import end_race
from pcs_gateway.proxy.leftover import Leftover
from pcs_gateway.proxy.phases import RECEIVING, STREAMING, TUNNELLING, WAITING

if TYPE_CHECKING:
    from pcs_gateway.proxy.exchange import Exchange


def client_left(exchange: Exchange) -> None:
    """The client's connection is gone: finish or cancel what runs for it, as `on_abandon` says."""
    exchange.connection = None
    if exchange.tunnel is not None:
        exchange.tunnel.close()
        return
    exchange.reason = exchange.reason or Refusal.CLIENT_LEFT.reason
    exchange.leave_queue()
    end_race(exchange)
    if exchange.phase == STREAMING:
        drain_or_cut(exchange)
        return
    exchange.status = Refusal.CLIENT_LEFT.status
    if exchange.phase == WAITING and exchange.is_request_sent and _finishes_abandoned(exchange):
        exchange.plane.abandoned.add(exchange)
        return
    exchange.stop_waiting(exchange.plane.monotonic())
    _cut_backend(exchange)


def client_ended(exchange: Exchange) -> bool:
    """
    Take the client's end of file; True when the other direction stays open.

    A client that half-closed still reads, one that left does not, and the bytes on the wire are the same.
    With `on_abandon: finish` it gets its answer; with `cancel` it counts as gone.
    """
    if exchange.tunnel is not None:
        exchange.tunnel.client_ended()
        return True
    return exchange.is_request_sent and (exchange.phase > WAITING or _finishes_abandoned(exchange))


def _finishes_abandoned(exchange: Exchange) -> bool:
    pool = exchange.matched.upstream_pool
    return pool is not None and pool.config.on_abandon == "finish"


def drain_or_cut(exchange: Exchange) -> None:
    """Read the rest of a response that nobody wants when it is short; else close its connection."""
    if exchange.phase != STREAMING:
        return
    upstream = exchange.upstream
    remaining = upstream.remaining_body() if upstream is not None else None
    if remaining is not None and remaining <= exchange.matched.limits.response_buffer:
        exchange.deadline = exchange.plane.monotonic() + exchange.matched.response_head
        exchange.plane.abandoned.add(exchange)
        client_caught_up(exchange)
        return
    _cut_backend(exchange)


def _cut_backend(exchange: Exchange) -> None:
    exchange.drop_upstream()
    exchange.finish(exchange.plane.monotonic())


def response_broke_off(exchange: Exchange) -> None:
    """End an exchange whose response ended before its end."""
    broke_off(exchange, Refusal.RESPONSE_INCOMPLETE.reason)
    break_off(exchange, Refusal.RESPONSE_INCOMPLETE)


def break_off(exchange: Exchange, refusal: Refusal) -> None:
    """End an exchange in the middle; a client that has part of the response must notice."""
    connection = exchange.connection
    exchange.reason = exchange.reason or refusal.reason
    exchange.leave_queue()
    exchange.keep_alive = False
    exchange.connection = exchange.tunnel = None
    exchange.drop_upstream()
    exchange.finish(exchange.plane.monotonic())
    if connection is not None:
        connection.abort(is_reset=not exchange.is_1_1 and exchange.status != 0)


def refuse_or_break_off(exchange: Exchange, refusal: Refusal) -> None:
    """End an exchange for what its client does: with an answer, as long as no other has begun."""
    if exchange.phase >= STREAMING:
        break_off(exchange, refusal)
    else:
        exchange.stop_waiting(exchange.plane.monotonic())
        exchange.refuse(refusal)


def own_fault(exchange: Exchange, error: Exception) -> None:
    """End an exchange in which a fault of ours happened, and tell it."""
    refuse_or_break_off(exchange.successor, Refusal.INTERNAL_ERROR)
    exchange.plane.tell_fault(error)


def expired(exchange: Exchange, now: float) -> None:
    """The deadline of the current phase has passed."""
    phase = exchange.phase
    if phase == TUNNELLING:
        exchange.reason = Refusal.TUNNEL_IDLE.reason
        assert exchange.tunnel is not None
        exchange.tunnel.close()
    elif phase == STREAMING:
        upstream = exchange.upstream
        if upstream is not None and upstream.remaining_body() is not None and not exchange.is_paused:
            # it announced more than it sends; a body without a length may pause for as long as it likes
            broke_off(exchange, Refusal.STREAM_IDLE.reason)
        break_off(exchange, Refusal.STREAM_IDLE)
    elif phase == RECEIVING or (phase == WAITING and not exchange.is_request_sent):
        refuse_or_break_off(exchange, Refusal.REQUEST_TIMEOUT)
    elif phase == WAITING:
        _time_out(exchange, now)
    else:
        refuse_or_break_off(exchange, Refusal.TOTAL_TIMEOUT)


def _time_out(exchange: Exchange, now: float) -> None:
    """The response head has not come in time; with `on_abandon: finish` the attempt stays counted."""
    failure = Failure.RESPONSE_TIMEOUT
    if exchange.is_leftover:
        exchange.refuse(failure.answer)
        return
    if now < exchange.total_from + exchange.matched.request_total:
        attempt_failed(exchange, failure)
        return
    lease, route = exchange.lease, exchange.matched
    if lease is not None and lease.member is not None and route.upstream_pool is not None:
        waited = now - exchange.sent
        exchange.waited += waited
        exchange.outcomes = (*exchange.outcomes, (exchange.backend, failure.outcome))
        if had_its_time(waited, route.response_head, route.request_total):
            exchange.plane.evidence.failed(exchange, route.upstream_pool, lease.member, failure.outcome, now)
    if exchange.connection is not None and _finishes_abandoned(exchange):
        Leftover(exchange, now)
    exchange.refuse(Refusal.TOTAL_TIMEOUT)


def look_after(exchange: Exchange, now: float) -> None:
    """What the sweep does for an exchange; a fault in it must cost this one, not the sweep of the others."""
    try:
        _look_after(exchange, now)
    except Exception as error:  # noqa: BLE001
        break_off(exchange, Refusal.INTERNAL_ERROR)
        exchange.plane.tell_fault(error)


def _look_after(exchange: Exchange, now: float) -> None:
    """Move the deadline of a phase in which bytes flow, or end it."""
    if exchange.is_active:
        exchange.is_active = False
        timeouts = exchange.matched.timeouts
        if exchange.phase == TUNNELLING:
            exchange.deadline = now + timeouts.tunnel_idle
        elif exchange.phase == STREAMING or not exchange.is_request_sent:
            exchange.deadline = now + timeouts.stream_idle
    elif exchange.is_paused and exchange.connection is not None:
        exchange.is_active = exchange.connection.takes(now)
        if exchange.connection.takes_too_slowly(now, exchange.matched.limits.minimum_body_rate):
            break_off(exchange, Refusal.CLIENT_TOO_SLOW)
            return
    if exchange.deadline < now:
        expired(exchange, now)
        return
    exchange.plane.evidence.hangs.look_at(exchange)
    body, connection = exchange.body, exchange.connection
    if body is None or body.is_complete or connection is None:
        return
    if connection.is_reading_paused or body.awaits_continue:
        # it is the backend that the body waits for
        body.begin_window(now)
    elif body.is_too_slow(now, exchange.matched.limits.minimum_body_rate):
        refuse_or_break_off(exchange, Refusal.REQUEST_TIMEOUT)


# backpressure


def client_is_slow(exchange: Exchange) -> None:
    """The buffer for the client is full: read the backend no further."""
    if exchange.upstream is not None and not exchange.is_paused:
        exchange.is_paused = True
        exchange.upstream.transport.pause_reading()


def client_caught_up(exchange: Exchange) -> None:
    """The buffer for the client has emptied: read the backend again."""
    if exchange.is_paused:
        exchange.is_paused = False
        exchange.is_active = True
        if exchange.connection is not None:
            exchange.connection.caught_up()
        if exchange.upstream is not None:
            exchange.upstream.transport.resume_reading()
