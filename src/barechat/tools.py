"""How a run of tools is performed: a loop that blocks and one that awaits, and a round's calls at the same time.

A function runs in a thread that can be left behind: a run that is interrupted or cancelled ends at once, and so does a
program, whatever the function is doing. Coroutine functions are tasks, and are cancelled. The client hands its `chat`
and `stream` in, so that every round has its retries, deadlines, budgets and place in the ledger.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from barechat.errors import ParameterError
from barechat.parameters import check_kinds
from barechat.records import Run
from barechat.rounds import Rounds
from barechat.spending import charged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from barechat.records import Delta, Reply, ToolCall
    from barechat.rounds import Calling
    from barechat.wire.request import Messages

    _OnCall = Callable[[ToolCall, str | None], object]


def run(
    chat: Callable[..., Reply],
    stream: Callable[..., Any],
    messages: Messages,
    tools: Sequence[Any],
    max_rounds: int,
    on_delta: Callable[[Delta], object] | None,
    on_call: _OnCall | None,
    options: Mapping[str, Any],
) -> Run:
    """Ask until the model calls no more tools; see `Client.run`."""
    check_kinds(ParameterError, on_delta=(on_delta, Callable), on_call=(on_call, Callable))
    rounds = Rounds(messages, tools, max_rounds, options, awaits=False)
    while True:
        with charged(rounds.replies, rounds.messages):
            if on_delta is None:
                reply = chat(rounds.messages, **rounds.options())
            else:
                with stream(rounds.messages, **rounds.options()) as deltas:
                    for delta in deltas.deltas():
                        on_delta(delta)
                reply = deltas.reply
        taken = rounds.take(reply)
        if isinstance(taken, Run):
            return taken
        calls = reply.message.tool_calls or ()
        _tell(on_call, ((call, None) for call in calls))
        _perform(taken)
        _tell(on_call, ((call, calling.answer) for call, calling in zip(calls, taken, strict=True)))
        rounds.answer(reply, taken)


async def run_async(
    chat: Callable[..., Awaitable[Reply]],
    stream: Callable[..., Any],
    messages: Messages,
    tools: Sequence[Any],
    max_rounds: int,
    on_delta: Callable[[Delta], object] | None,
    on_call: _OnCall | None,
    options: Mapping[str, Any],
) -> Run:
    """Ask until the model calls no more tools; see `AsyncClient.run`."""
    check_kinds(ParameterError, on_delta=(on_delta, Callable), on_call=(on_call, Callable))
    rounds = Rounds(messages, tools, max_rounds, options, awaits=True)
    while True:
        with charged(rounds.replies, rounds.messages):
            if on_delta is None:
                reply = await chat(rounds.messages, **rounds.options())
            else:
                async with stream(rounds.messages, **rounds.options()) as deltas:
                    async for delta in deltas.deltas():
                        heard = on_delta(delta)
                        if inspect.isawaitable(heard):
                            await heard
                reply = deltas.reply
        taken = rounds.take(reply)
        if isinstance(taken, Run):
            return taken
        calls = reply.message.tool_calls or ()
        await _tell_async(on_call, ((call, None) for call in calls))
        await _perform_async(taken)
        await _tell_async(on_call, ((call, calling.answer) for call, calling in zip(calls, taken, strict=True)))
        rounds.answer(reply, taken)


def _tell(on_call: _OnCall | None, calls: Iterable[tuple[ToolCall, str | None]]) -> None:
    """Tell the caller of calls, and of what the model is told of them where that is known."""
    if on_call is not None:
        for call, answer in calls:
            on_call(call, answer)


async def _tell_async(on_call: _OnCall | None, calls: Iterable[tuple[ToolCall, str | None]]) -> None:
    """Tell as _tell does, and await what the caller's function returns, where it has to be."""
    if on_call is not None:
        for call, answer in calls:
            heard = on_call(call, answer)
            if inspect.isawaitable(heard):
                await heard


def _perform(callings: Sequence[Calling]) -> None:
    """Run the calls, at the same time where there are several; raise the first exception that a tool lets through."""
    if len(callings) == 1:
        callings[0].run()
    else:
        started = [_start(calling) for calling in callings]
        ended, _ = concurrent.futures.wait(started, return_when=concurrent.futures.FIRST_EXCEPTION)
        for future in started:
            if future in ended:
                future.result()
    for calling in callings:
        calling.forgo()


async def _perform_async(callings: Sequence[Calling]) -> None:
    """Run the calls as _perform does: coroutine functions as tasks, the others in threads."""
    tasks = [asyncio.create_task(_run(calling)) for calling in callings]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task in ended:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(calling: Calling) -> None:
    if calling.needs_thread:
        await asyncio.wrap_future(_start(calling))
    else:
        calling.run()
    await calling.finish()


def _start(calling: Calling) -> concurrent.futures.Future[None]:
    """Run a call in a thread of its own, in the caller's context."""
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()  # whoever waits may give up; the thread goes on, and nobody listens
    context = contextvars.copy_context()

    def work() -> None:
        try:
            context.run(calling.run)
        except BaseException as error:  # noqa: BLE001 - it is raised where the future is waited for
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name=f"barechat-{calling.name}", daemon=True).start()
    return future
