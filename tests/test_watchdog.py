"""The thread that shuts sockets down at their deadlines."""

from __future__ import annotations

import itertools
import select
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from barechat.steps import Deadline
from barechat.transport.watchdog import Flight, Watch, Watchdog, watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator

PAST = Deadline(0.0, "idle", 1)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def soon(seconds: float = 0.05) -> Deadline:
    return Deadline(time.monotonic() + seconds, "total", seconds)


def flying(sock: socket.socket) -> tuple[Watch, Flight]:
    watch, flight = Watch(), Flight(None, None)
    watch.attach(sock)
    return watch, flight


def test_a_reader_wakes_up_at_the_deadline_and_the_flight_knows_which(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, flight = flying(pair[0])
    deadline = soon()
    watch.arm(flight, deadline)
    assert pair[0].recv(1) == b""
    assert flight.expired == deadline
    assert time.monotonic() >= deadline.at


def test_one_that_was_disarmed_is_let_be(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, flight = flying(pair[0])
    watch.arm(flight, soon(60))
    watch.disarm(flight)
    assert watch.expire(time.monotonic() + 120) is None
    assert flight.expired is None
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_a_deadline_that_moved_on_is_looked_at_again(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, flight = flying(pair[0])
    first, second = Deadline(1000.0, "idle", 1), Deadline(2000.0, "idle", 1)
    watch.arm(flight, first)
    watch.arm(flight, second)
    assert watch.expire(1500.0) == 2000.0
    assert flight.expired is None


def test_only_the_one_who_armed_it_last_can_disarm_or_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, old = flying(pair[0])
    new = Flight(None, None)
    watch.arm(old, soon(60))
    watch.arm(new, soon(60))
    watch.disarm(old)
    watch.cut(old)
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"
    watch.cut(new)
    assert pair[0].recv(1) == b""


def test_cutting_wakes_a_reader_in_another_thread_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, flight = flying(pair[0])
    watch.arm(flight, None)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pair[0].recv(1)))
    reader.start()
    watch.cut(flight)
    reader.join(10)
    assert got == [b""]


def test_a_socket_that_was_closed_already_is_no_fault(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, flight = flying(pair[0])
    pair[0].close()
    watch.arm(flight, None)
    watch.cut(flight)
    Watch().cut(flight)


def test_a_watch_without_a_socket_expires_all_the_same() -> None:
    watch, flight = Watch(), Flight(None, None)
    watch.arm(flight, PAST)
    deadline = time.monotonic() + 10
    while flight.expired is None and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    assert flight.expired == PAST


def test_many_deadlines_in_any_order_are_each_kept() -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    flights = []
    for (ours, _), delay in zip(pairs, itertools.cycle((0.05, 0.01, 0.03)), strict=False):
        watch, flight = flying(ours)
        watch.arm(flight, soon(60))
        watch.arm(flight, soon(delay))
        flights.append((watch, flight))  # as their connections would keep them
    for ours, theirs in pairs:
        assert ours.recv(1) == b""
        ours.close()
        theirs.close()
    assert all(flight.expired is not None for _, flight in flights)


def test_a_watch_that_nobody_keeps_keeps_no_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    watch, flight = flying(pair[0].dup())
    watch.arm(flight, soon(60))
    seen = weakref.ref(watch)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del watch
    assert seen() is None


def test_a_flight_that_is_cut_shuts_down_whatever_is_armed_for_it_later(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watch, flight = flying(pair[0])
    flight.watch = watch
    flight.cut()
    assert select.select([pair[0]], [], [], 0)[0] == []  # it wasn't this flight's yet
    watch.arm(flight, None)
    assert pair[0].recv(1) == b""


def test_a_socket_that_still_connects_is_shut_down_again_and_again() -> None:
    watch, flight = Watch(), Flight(None, None)
    flight.watch, flight.is_connecting = watch, True
    watch.arm(flight, None)
    flight.cut()
    with socket.socket() as late:
        watch.attach(late)
        again = watch.expire(1000.0)
        assert again is not None
        assert again > 1000.0
        flight.is_connecting = False
        assert watch.expire(again) is None


def test_a_process_has_one_and_it_starts_when_first_needed() -> None:
    assert watchdog() is watchdog()
    before = threading.active_count()
    idle = Watchdog()
    assert threading.active_count() == before
    idle.schedule(Watch(), time.monotonic() + 60)
    assert threading.active_count() == before + 1
