"""What does the demo show? Its steps: the lines that it shows of each are the lines that it runs.

A step's docstring is its title; what follows, up to its `return`, is shown (`lines_of`). So keep the lines short.
"""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barechat import BarechatError, Budget, BudgetExceeded, ChatSession, Client, Ledger, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from barechat import Attempt, Reply


def call(key: str | None, url: str | None, model: str) -> tuple[Client, Reply]:
    """Make one call."""
    client = Client(api_key=key, base_url=url)  # by default the environment's
    reply = client.chat("What is gradient descent?", model=model)
    print(reply.text)
    return client, reply


def converse(client: Client, model: str) -> tuple[Reply, Reply, ChatSession]:
    """Chat in two turns."""
    session = ChatSession(client, "You are brief.", model=model)
    first = session.send("My name is Ada.")
    second = session.send("What is my name?")
    print(first.text, second.text, sep="\n")
    return first, second, session


def set_parameters(client: Client, model: str) -> tuple[Reply, Reply, Reply, Reply]:
    """Set parameters, by the API's own names."""
    why = "Why is the sky blue?"
    cut = client.chat(why, model=model, max_completion_tokens=8)
    print(f"{cut.text} [{cut.verdict}: {cut.finish_reason}]")
    stopped = client.chat(why, model=model, temperature=0.2, stop=".")
    print(f"{stopped.text} [{stopped.verdict}]")
    two = client.chat("A colour?", model=model, n=2, max_completion_tokens=9)
    for choice in two.choices:
        print(f"{choice.index}: {choice.message.content}")
    city = client.chat("A city, as JSON.", model=model, response_format="json")
    print(city.json())
    return cut, stopped, two, city


def stream(client: Client, model: str) -> Reply:
    """Stream, through what fails on the way."""

    def tell(failed: Attempt) -> None:
        wait = f"trying again in {failed.delay_s:.1f} s"
        print(f"try {failed.number}: {failed.status} {failed.code}; {wait}")

    retry = RetryPolicy(base_s=0.5, on_retry=tell)
    with client.stream("Tell me a story.", model=model, retry=retry) as story:
        for text in story:
            print(text, end="", flush=True)
    return story.reply


def parse(client: Client, model: str) -> Reply:
    """Have an answer as a value of a type."""

    @dataclass
    class City:
        name: str
        is_capital: bool

    city = client.parse("A city?", into=City, model=model)
    print(city.value.name, city.value.is_capital)
    return city.reply


def keep_to_a_budget(key: str | None, url: str | None, model: str, folder: Path) -> int:
    """Keep to a budget, and a ledger."""
    fitted, budget = 0, Budget("0.0002", per="day")
    with Ledger(folder / "ledger.db") as ledger:
        client = Client(key, url, ledger=ledger, budget=budget)
        try:
            while True:
                client.chat("A colour?", model=model, max_completion_tokens=9)
                fitted += 1
        except BudgetExceeded as error:
            print(f"after {fitted} calls: {error}")
        client.close()
        for line in ledger.spending(by="model"):
            print(f"{line.name}: {line.answered} calls, ${line.cost}")
    return fitted


def fail(url: str | None, model: str) -> None:
    """See what a bad key brings."""
    with Client(api_key="sk-bad-key", base_url=url) as client:
        try:
            client.chat("Hello?", model=model)
        except BarechatError as error:
            print(f"{type(error).__name__}: {error}")


def sum_up(client: Client) -> None:
    """Sum up what it cost."""
    client.cost.summary()


def title_of(step: Callable[..., Any]) -> str:
    """Return a step's title."""
    return (step.__doc__ or "").rstrip(".")


def lines_of(step: Callable[..., Any]) -> str:
    """Return the lines of a step that are shown."""
    body = inspect.getsource(step).partition('."""\n')[2]
    return textwrap.dedent(body).partition("\nreturn ")[0].strip("\n")
