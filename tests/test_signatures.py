"""The two clients have the same names, and each name the same parameters."""

from __future__ import annotations

import inspect

import pytest

from barechat import AsyncChatStream, AsyncClient, ChatStream, Client

PAIRS = [(Client, AsyncClient), (ChatStream, AsyncChatStream)]
TWINS = {
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
    "__next__": "__anext__",
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def own_dunders(kind: type) -> set[str]:
    return {name for name in TWINS.values() if hasattr(kind, name)} | {name for name in TWINS if hasattr(kind, name)}


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_the_names_are_the_same(blocking: type, awaited: type) -> None:
    assert public(blocking) == public(awaited)
    assert {TWINS[name] for name in own_dunders(blocking)} == own_dunders(awaited)


@pytest.mark.parametrize(
    ("blocking", "awaited", "name"),
    [(blocking, awaited, name) for blocking, awaited in PAIRS for name in sorted(public(blocking))],
)
def test_the_parameters_of_a_name_are_the_same(blocking: type, awaited: type, name: str) -> None:
    first, second = getattr(blocking, name), getattr(awaited, name)
    assert callable(first) == callable(second)
    if callable(first):
        assert inspect.signature(first).parameters == inspect.signature(second).parameters
        if name != "deltas":  # an async generator
            is_awaited = inspect.iscoroutinefunction(second)
            returns = str(inspect.signature(first).return_annotation), str(inspect.signature(second).return_annotation)
            assert returns[0] == returns[1].replace("AsyncChatStream", "ChatStream").replace(
                "AsyncBulkRun", "BulkRun"
            ), is_awaited


def test_what_takes_time_is_awaited_and_nothing_else() -> None:
    assert {name for name in public(AsyncClient) if inspect.iscoroutinefunction(getattr(AsyncClient, name))} == {
        "call",
        "chat",
        "close",
        "parse",
        "run",
    }


def test_the_constructors_take_the_same() -> None:
    assert inspect.signature(Client).parameters == inspect.signature(AsyncClient).parameters


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS)
def test_an_awaited_name_s_docstring_sends_to_its_twin_s(blocking: type, awaited: type) -> None:
    for name, method in vars(awaited).items():
        if not name.startswith("_") and callable(method):
            assert f"{blocking.__name__}.{name}" in (inspect.getdoc(method) or "")
