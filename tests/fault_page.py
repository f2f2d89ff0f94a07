"""What does a caller get when things go wrong? Writes docs/faults.md from runs, the official SDK beside: `make docs`.

The times are measured, so every run gives another page; `test_fault_table.py` holds what matters in it.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openai

from fault_table import FAULTS, QUESTION, TEXT, Fault, Mode, Outcome, run, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

PAGE: Final = Path(__file__).parent.parent / "docs" / "faults.md"
_PATIENCE_S: Final = 0.5
_GIVEN_UP_S: Final = 5.0
_WORDS: Final = len(TEXT.split())
_MARKS: Final = {"bound": "≤ ", "estimate": "≈ "}
_INTRODUCTION: Final = f"""\
# What a caller gets when things go wrong

`make docs` writes this page: each fault is served by the [simulator](simulator.md) to `Client` and `AsyncClient`, whole
and streamed, and then to the official SDK (openai {version("openai")}), with its own two retries, and a timeout of the
same {_PATIENCE_S} s where the server falls silent. The suite holds every row: no fault passes for a full answer, none
outlives its deadline, and each has its cost.

- *got* is the error's class, or the reply's verdict. Both clients get the same.
- *text* is how much of the {_WORDS} words the caller has: in `error.partial`, or in the reply.
- *tries* are the requests that reached the server.
- *s* is how long it took, `Client` / `AsyncClient`. Here the first wait before another try is 10 ms (1 s by default).
- *cost* is what the call is said to have cost, in dollars for gpt-4o-mini: `≤` marks a bound, `≈` an
  estimate. Nobody knows whether the server bills an answer that was lost, so the most that it can cost is told.
- The SDK tells no cost. *returned* means that it came back as if nothing had happened; the words are what the caller's
  own loop had seen.
"""


def make_page() -> str:
    """Run every fault and return the page."""
    rows = [
        "| fault | | got | text | tries | s | cost | the SDK | its tries | its s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        rows += [_row(fault, mode) for mode in fault.modes]
    return "\n".join([_INTRODUCTION, *rows, ""])


def _row(fault: Fault, mode: Mode) -> str:
    ours, twin = (run(fault, kind, mode, patience_s=_PATIENCE_S) for kind in ("blocking", "asyncio"))
    theirs = run_sdk(fault, mode)
    cost = ours.cost
    cells = [
        fault.name if mode == fault.modes[0] else "",
        mode,
        ours.got,
        _share(ours.text),
        str(ours.requests),
        f"{ours.seconds:.2f} / {twin.seconds:.2f}",
        "?" if cost is None else f"{_MARKS.get(cost.certainty, '')}{cost}",
        theirs.got + (f", {_share(theirs.text)}" if theirs.text else ""),
        str(theirs.requests),
        f"{theirs.seconds:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _share(text: str | None) -> str:
    if not text:
        return ""
    return "all" if text == TEXT else f"{len(text.split())} of {_WORDS}"


def run_sdk(fault: Fault, mode: Mode) -> Outcome:
    """Let the official SDK meet a fault; one that hasn't ended after a while is said to hang."""
    outcome = Outcome("hangs", None, is_error=True)
    with serving(fault) as simulator:
        thread = threading.Thread(target=_ask_sdk, args=(simulator.url, fault, mode, outcome), daemon=True)
        began_s = time.monotonic()
        thread.start()
        thread.join(_GIVEN_UP_S)
        got, outcome.seconds = outcome.got, time.monotonic() - began_s
    thread.join()
    outcome.got = got
    outcome.requests = len(simulator.requests)
    return outcome


def _ask_sdk(url: str, fault: Fault, mode: Mode, outcome: Outcome) -> None:
    timeout_s = _PATIENCE_S if fault.is_silent else 60.0
    texts: list[str] = []
    try:
        with openai.OpenAI(api_key="sk-any-key", base_url=url, timeout=timeout_s) as client:
            texts.extend(_sdk_texts(client, mode))
        outcome.got = "returned"
    except openai.OpenAIError as error:
        outcome.got = type(error).__name__
    except Exception as error:  # noqa: BLE001 - what isn't its own error is the news
        outcome.got = f"{type(error).__module__}.{type(error).__name__}".removeprefix("builtins.")
    outcome.text = "".join(texts)


def _sdk_texts(client: openai.OpenAI, mode: Mode) -> Iterator[str]:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
    if mode == "whole":
        yield client.chat.completions.create(model="gpt-4o-mini", messages=messages).choices[0].message.content or ""
        return
    for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
        if chunk.choices:
            yield chunk.choices[0].delta.content or ""


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")  # an unknown end is told by a warning too
    PAGE.write_text(make_page(), "utf-8")
