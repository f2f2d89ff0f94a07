"""barechat.errors: one tree, each error with its facts, and sound beside OSError's odd layout."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from barechat import errors
from barechat.errors import BarechatError, BudgetExceeded, ConnectionFailed, DeadlineExceeded
from barechat.records import Attempt, Cost, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BarechatError)]
COST = Cost(picodollars=5, certainty="bound")
ATTEMPTS = (Attempt(number=1, client_request_id="x", error="RateLimited", cost=COST),)
PARTIAL = Reply(id="r", model="m", choices=(), usage=None, cost=COST, verdict="partial", raw={"id": "r"})
FACTS: dict[str, Any] = {
    "status": 429,
    "code": "c",
    "type": "t",
    "param": "p",
    "request_id": "req_1",
    "retry_after_s": 1.5,
    "attempts": ATTEMPTS,
    "partial": PARTIAL,
    "cost": COST,
    "body": b"{}",
    "messages": [{"role": "user", "content": "Hello?"}],
}
BUILT_INS: dict[str, tuple[type[Exception], ...]] = {
    "ParameterError": (ValueError,),
    "ConnectionFailed": (ConnectionError, OSError),
    "DeadlineExceeded": (TimeoutError, OSError),
    "BadRequest": (ValueError,),
    "ContextTooLong": (ValueError,),
    "ContentFiltered": (ValueError,),
    "AuthenticationFailed": (PermissionError, ValueError),
    "PermissionDenied": (PermissionError,),
    "RateLimited": (RuntimeError,),
    "QuotaExhausted": (RuntimeError,),
    "ServerFailed": (ConnectionError,),
    "Overloaded": (ConnectionError,),
}
TREE = {
    "BarechatError": "Exception",
    "ConfigurationError": "BarechatError",
    "ParameterError": "BarechatError",
    "BudgetExceeded": "BarechatError",
    "ConnectionFailed": "BarechatError",
    "DeadlineExceeded": "BarechatError",
    "ApiError": "BarechatError",
    "BadRequest": "ApiError",
    "ContextTooLong": "BadRequest",
    "ContentFiltered": "BadRequest",
    "AuthenticationFailed": "ApiError",
    "PermissionDenied": "ApiError",
    "NotFound": "ApiError",
    "Conflict": "ApiError",
    "TooLarge": "ApiError",
    "RateLimited": "ApiError",
    "QuotaExhausted": "RateLimited",
    "ServerFailed": "ApiError",
    "Overloaded": "ServerFailed",
    "StreamTruncated": "BarechatError",
    "ProtocolBroken": "BarechatError",
    "AnswerUnusable": "BarechatError",
    "AnswerMismatched": "AnswerUnusable",
    "AnswerRefused": "AnswerUnusable",
    "AnswerLimited": "AnswerUnusable",
    "AnswerFiltered": "AnswerUnusable",
    "RunUnfinished": "BarechatError",
    "RoundsExceeded": "RunUnfinished",
    "ToolsFailed": "RunUnfinished",
}


def made(error_class: type[BarechatError]) -> BarechatError:
    """Make an error, and put every fact on it as the exchange does."""
    error = error_class("it broke; mend it")
    for name, fact in FACTS.items():
        setattr(error, name, fact)
    if isinstance(error, BudgetExceeded):
        error.fits_later = True
    if isinstance(error, (ConnectionFailed, DeadlineExceeded)):
        error.sent = True
    if isinstance(error, DeadlineExceeded):
        error.which = "idle"
    error.add_note("a note")
    return error


def pickled(error: BarechatError) -> BarechatError:
    found: BarechatError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return found


def test_the_tree_is_the_one_that_the_design_draws() -> None:
    assert {one.__name__: one.__bases__[0].__name__ for one in CLASSES} == TREE
    for name in TREE:
        assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("duplicate", [pickled, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("error_class", CLASSES)
def test_every_error_pickles_and_copies_with_all_its_facts(
    error_class: type[BarechatError], duplicate: Callable[[BarechatError], BarechatError]
) -> None:
    error = made(error_class)
    twin = duplicate(error)
    assert type(twin) is error_class
    assert twin is not error
    assert str(twin) == "it broke; mend it"
    assert vars(twin) == vars(error)
    assert {name: getattr(twin, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("error_class", CLASSES)
def test_every_error_holds_one_sentence_and_no_errno(error_class: type[BarechatError]) -> None:
    error = made(error_class)
    assert error.args == ("it broke; mend it",)
    assert getattr(error, "errno", None) is None
    assert getattr(error, "strerror", None) is None
    assert "__slots__" not in vars(error_class)


@pytest.mark.parametrize("error_class", CLASSES)
def test_every_error_is_caught_as_the_built_ins_that_the_design_names(error_class: type[BarechatError]) -> None:
    wanted = BUILT_INS.get(error_class.__name__, ())
    every = (ValueError, OSError, ConnectionError, TimeoutError, PermissionError, RuntimeError)
    implied = {OSError} if {ConnectionError, TimeoutError, PermissionError} & set(wanted) else set()
    assert {one for one in every if issubclass(error_class, one)} == set(wanted) | implied
    for one in (*wanted, BarechatError):
        with pytest.raises(one):
            raise made(error_class)


@pytest.mark.parametrize("error_class", CLASSES)
def test_an_errors_facts_are_none_or_empty_until_known(error_class: type[BarechatError]) -> None:
    error = error_class("x")
    facts = {name: getattr(error, name) for name in FACTS}
    assert facts.pop("attempts") == ()
    assert set(facts.values()) == {None}


def test_facts_are_keywords() -> None:
    error = errors.RateLimited("slow down", **FACTS)
    assert {name: getattr(error, name) for name in FACTS} == FACTS
    assert (BudgetExceeded("x", fits_later=True, cost=COST).fits_later, BudgetExceeded("x").fits_later) == (True, False)
    assert ConnectionFailed("x", sent=False).sent is False
    deadline = DeadlineExceeded("x", which="connect", sent=False)
    assert (deadline.which, deadline.sent) == ("connect", False)
    for error_class in CLASSES:
        with pytest.raises(TypeError):
            error_class("x", 5)  # type: ignore[call-arg]  # two would set errno
