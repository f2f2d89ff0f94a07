"""What many clients do to a server that is down, half down, or sends them all away at once: on a fake clock."""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from barechat.drive import advance
from barechat.errors import BarechatError, Overloaded
from barechat.receipt import Origin
from barechat.records import Reply
from barechat.steps import Read, Send, Wait
from barechat.wire.retry import RetryBudget, RetryPolicy
from test_exchange import WHOLE, WHOLE_STREAM, Script, refused, status

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from barechat.simulator import Simulator
    from support import Connect

AT_FIRST = 20  # retries that a full budget allows: 100 tokens, 5 a retry
FAULTS: dict[str, Callable[[], Sequence[Any]]] = {"refused": lambda: [refused()], "503": lambda: status(503)}


@dataclass
class World:
    """Clients that make one call after another, and a server: `serve` takes a call's try by number, and answers it."""

    serve: Callable[[int], Sequence[Any]]
    streamed: bool = False
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - not for secrets
    now: float = 0.0
    calls: int = 0
    retries: list[float] = field(default_factory=list)  # when each came

    def run(self, origins: Sequence[Origin], calls_each: int) -> None:
        """Let a client of each origin make so many calls, all clients side by side."""
        numbers = itertools.count()
        waiting = [(self.now, next(numbers), self._client(origin, calls_each)) for origin in origins]
        while waiting:
            self.now, _, client = heapq.heappop(waiting)
            pause_s = next(client, None)
            if pause_s is not None:
                heapq.heappush(waiting, (self.now + pause_s, next(numbers), client))

    def _client(self, origin: Origin, calls: int) -> Generator[float]:
        for _ in range(calls):
            self.calls += 1
            yield from self._call(Script(origin=origin, policy=self.policy, streamed=self.streamed))

    def _call(self, script: Script) -> Generator[float]:
        """Perform a call's steps; yield the seconds to wait."""
        attempt, answers = 0, list[Any]()
        answer, error = None, None
        while True:
            script.noise = self.random.random()
            try:
                step = advance(script.story, answer, error)
            except BarechatError:
                return
            answer, error = None, None
            if isinstance(step, Reply):
                return
            if isinstance(step, Send):
                attempt += 1
                self.retries += [self.now] * (attempt > 1)
                answers = list(self.serve(attempt))
            if isinstance(step, (Send, Read)):
                answer = answers.pop(0)
                if isinstance(answer, BarechatError):
                    answer, error = None, answer
            elif isinstance(step, Wait):
                yield step.delay_s
                script.now += step.delay_s


def origins(count: int, *, shared: bool) -> list[Origin]:
    """Return what so many clients know of their server: in one process, or each in its own."""
    one = RetryBudget()
    return [Origin(one if shared else RetryBudget()) for _ in range(count)]


# A server that is down


@pytest.mark.parametrize(("fault", "streamed"), [("refused", False), ("503", True)])
def test_two_hundred_clients_multiply_an_outage_by_twenty_requests_in_all(fault: str, streamed: bool) -> None:
    world = World(lambda _: FAULTS[fault](), streamed)
    world.run(origins(200, shared=True), calls_each=5)
    assert (world.calls, len(world.retries)) == (1000, AT_FIRST)


@pytest.mark.parametrize("fault", FAULTS)
def test_fifty_processes_send_one_request_a_call_once_their_budgets_are_drained(fault: str) -> None:
    world, clients = World(lambda _: FAULTS[fault]()), origins(50, shared=False)
    world.run(clients, calls_each=5)
    assert (world.calls, len(world.retries)) == (250, 50 * AT_FIRST)
    world.run(clients, calls_each=5)
    assert (world.calls, len(world.retries)) == (500, 50 * AT_FIRST)


@pytest.mark.parametrize("failing", [0.05, 0.5, 0.99])
def test_whatever_share_of_its_answers_fails_a_call_means_a_fifth_of_a_retry_at_most(failing: float) -> None:
    world = World(lambda _: status(503) if world.random.random() < failing else WHOLE)
    world.run(origins(50, shared=True), calls_each=20)
    assert world.calls == 1000
    assert len(world.retries) <= world.calls / 5 + AT_FIRST


def test_without_a_budget_every_call_of_an_outage_is_five_requests() -> None:
    """What the others guard against."""
    world = World(lambda _: status(503), policy=RetryPolicy(retry_budget=None))
    world.run(origins(50, shared=True), calls_each=4)
    assert len(world.retries) == 4 * world.calls


def test_after_an_outage_successes_earn_retries_again() -> None:
    world, clients = World(lambda _: status(503)), origins(10, shared=True)
    world.run(clients, calls_each=10)
    world.serve = lambda _: WHOLE
    world.run(clients, calls_each=10)
    world.serve = lambda attempt: status(503) if attempt == 1 else WHOLE
    drained = len(world.retries)
    world.run(clients, calls_each=1)
    assert len(world.retries) - drained == 10


def test_clients_of_one_server_share_what_is_left(simulator: Simulator, connect: Connect) -> None:
    simulator.fail_next(100, status=503)
    policy = RetryPolicy(max_attempts=3, base_s=0.001, retry_budget=25)
    tries = []
    for _ in range(4):
        with pytest.raises(Overloaded) as caught:
            connect(simulator.url, retry=policy).chat()
        tries.append(len(caught.value.attempts))
    assert tries == [3, 3, 2, 1]


# A server that sends everyone away with the same delay


def most_within(window_s: float, times: list[float]) -> int:
    """Return the largest number of moments that any window so wide holds."""
    times = sorted(times)
    return max(bisect_left(times, start + window_s) - at for at, start in enumerate(times))


@pytest.mark.parametrize(("retry_after_s", "share", "streamed"), [(30, 0.06, False), (1, 0.15, True)])
def test_a_thousand_clients_that_are_sent_away_at_once_come_back_spread_out(
    retry_after_s: int, share: float, streamed: bool
) -> None:
    whole = WHOLE_STREAM if streamed else WHOLE
    refusal = {"retry_after": str(retry_after_s)}
    world = World(lambda attempt: status(429, **refusal) if attempt == 1 else whole, streamed)
    world.run(origins(1000, shared=True), calls_each=1)
    assert len(world.retries) == 1000  # none is lost to the budget
    assert min(world.retries) >= retry_after_s
    assert max(world.retries) <= retry_after_s + max(retry_after_s / 10, 1)
    assert most_within(0.1, world.retries) <= share * 1000


def test_a_thousand_clients_without_a_server_s_delay_come_back_spread_out_too() -> None:
    world = World(lambda attempt: status(503) if attempt == 1 else WHOLE)
    world.run(origins(1000, shared=False), calls_each=1)
    assert (min(world.retries) >= 0.5, max(world.retries) <= 1, len(world.retries)) == (True, True, 1000)
    assert most_within(0.1, world.retries) <= 260
