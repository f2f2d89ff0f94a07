"""Decisions, with plain values: who is limited, refused or answered, at which pace, and with which headers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from barechat.simulator.decide import Call, Decision, Judge
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.models import MODELS
from barechat.simulator.refusals import Refusal
from barechat.simulator.replies import parse_replies
from barechat.simulator.reply import Reply
from barechat.simulator.scenario import parse_fault, parse_scenario
from simulating import request

if TYPE_CHECKING:
    from barechat.simulator.scenario import Scenario

PATH = "/v1/chat/completions"
NOW = 1_800_000_000.25


class Court:
    """A judge of a scenario, asked by what differs from an ordinary request; its clock stands still."""

    def __init__(self, replies: list[dict[str, Any]] | None = None, **settings: Any) -> None:
        lines = None if replies is None else "\n".join(json.dumps(line) for line in replies)
        self.scenario: Scenario = parse_scenario(settings)
        self.judge = Judge(self.scenario, None if lines is None else parse_replies(lines, "replies.jsonl"), started=NOW)

    def ask(
        self,
        *,
        method: str = "POST",
        path: str = PATH,
        query: str = "",
        fault: Any = None,
        key: str | None = "sk-good",
        answering: int = 0,
        at_s: float = 0,
        **parameters: Any,
    ) -> Decision:
        asked = request(path, key, **parameters)
        call = Call(
            method=method,
            path=path,
            query=query,
            simulate=None if fault is None else json.dumps(fault),
            attempt=self.judge.count(asked),
            request=asked,
        )
        return self.judge.decide(call, answering=answering, now=NOW + at_s)


def body(decision: Decision) -> bytes:
    return b"".join(part for piece in decision.answer.pieces for part in piece.parts)


def error(decision: Decision) -> dict[str, Any]:
    found = json.loads(body(decision))["error"]
    assert isinstance(found, dict)
    return found


def text(decision: Decision) -> str | None:
    assert isinstance(decision.outcome, Reply)
    return decision.outcome.choices[0].content


# Limits

TIGHT = {"requests_per_min": 60, "burst_s": 1}


def test_a_limit_of_the_scenario_is_a_429_with_its_headers() -> None:
    court = Court(limit=[TIGHT])
    first, second = court.ask(), court.ask()
    assert (first.answer.status, first.name) == (200, "reply")
    assert (second.answer.status, second.name) == (429, "limited")
    assert error(second)["code"] == "rate_limit_exceeded"
    assert second.headers["x-ratelimit-limit-requests"] == "60"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.headers["x-ratelimit-reset-requests"] == "1s"
    assert (second.headers["retry-after"], second.headers["retry-after-ms"]) == ("1", "1000")
    assert "retry-after" not in first.headers
    assert court.ask(at_s=1).answer.status == 200


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_tells_of_limits_in_its_own_headers(dialect: str) -> None:
    court = Court(dialect=dialect, limit=[{**TIGHT, "tokens_per_min": 6000}])
    court.ask(query="api-version=1")
    limited = court.ask(query="api-version=1")
    told = {name: value for name, value in limited.headers.items() if name.startswith("x-ratelimit-")}
    assert limited.answer.status == 429
    assert ("retry-after" in limited.headers) is (dialect != "litellm")
    assert ("retry-after-ms" in limited.headers) is (dialect != "litellm")
    assert bool(told) is (dialect in {"openai", "azure", "groq"})
    if told:
        assert told["x-ratelimit-limit-tokens"] == "6000"
        assert told["x-ratelimit-reset-requests"] == ("1" if dialect == "azure" else "1s")


def test_azure_says_minus_one_of_a_limit_that_is_not_set() -> None:
    limited = Court(dialect="azure", limit=[TIGHT]).ask()
    assert limited.headers["x-ratelimit-limit-tokens"] == limited.headers["x-ratelimit-remaining-tokens"] == "-1"


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted"])
def test_a_quota_that_is_used_up_is_told_without_a_time_to_try_again(code: str) -> None:
    court = Court(limit=[{"quota_requests": 2, "quota_code": code}])
    decisions = [court.ask(at_s=at_s) for at_s in (0, 0, 100_000)]
    assert [decision.answer.status for decision in decisions] == [200, 200, 429]
    told = error(decisions[2])
    assert (told["type"], told["code"]) == ("insufficient_quota", code)
    assert "retry-after" not in decisions[2].headers


def test_tokens_count_as_asked_for_whatever_is_said() -> None:
    court = Court(limit=[{"tokens_per_min": 1000}])
    assert court.ask(max_completion_tokens=900).answer.status == 200
    assert court.ask(max_completion_tokens=90).answer.status == 429
    too_large = court.ask(max_completion_tokens=500, n=2, at_s=1000)
    assert error(too_large)["message"].startswith("Request too large for gpt-4o-mini")


def test_as_many_answers_at_once_are_let_through_as_the_limit_says() -> None:
    court = Court(limit=[{"concurrent": 1}])
    first = court.ask()
    assert court.ask().answer.status == 429
    assert first.admission is not None
    court.judge.limits.release(first.admission)
    assert court.ask().answer.status == 200


def test_a_refused_request_spends_nothing_of_the_tokens_that_it_never_got() -> None:
    court = Court(limit=[{"requests_per_min": 60, "burst_s": 2}])
    assert court.ask(key=None).answer.status == 401
    assert court.ask(fault={"status": 500}).answer.status == 500
    assert [court.ask().answer.status for _ in range(3)] == [200, 200, 429]


def test_without_a_limit_the_headers_tell_of_room() -> None:
    for decision in (
        Court().ask(),
        Court().ask(key=None),
        Court().ask(method="GET"),
        Court().ask(fault={"status": 500}),
    ):
        assert decision.headers["x-ratelimit-limit-requests"] == "10000"
        assert decision.headers["x-ratelimit-remaining-requests"] == "9999"


# Pace


def first_token_s(decision: Decision) -> float:
    return decision.answer.pace.first_token_s


def test_each_answer_under_way_makes_the_next_slower() -> None:
    court = Court(first_token_s=2, tokens_per_s=10, load={"slowdown": 0.5})
    paces = [court.ask(stream=True, answering=answering).answer.pace for answering in (0, 1, 4)]
    assert [pace.first_token_s for pace in paces] == [2, 3, 6]
    assert [round(pace.tokens_per_s, 6) for pace in paces] == [10, 6.666667, 3.333333]


def test_jitter_varies_each_try_within_its_share_the_same_for_the_same_seed() -> None:
    def times(seed: int) -> list[float]:
        court = Court(first_token_s=2, jitter=0.5, seed=seed)
        return [first_token_s(court.ask(stream=True)) for _ in range(50)]

    assert times(1) == times(1)
    assert times(1) != times(2)
    assert len(set(times(1))) > 40
    assert all(1 <= time <= 3 for time in times(1))
    assert max(times(1)) > 2.5
    assert min(times(1)) < 1.5


def test_a_jitter_of_all_leaves_a_little_time() -> None:
    court = Court(first_token_s=1, tokens_per_s=1, jitter=1)
    assert all(0 < first_token_s(court.ask(stream=True)) <= 2 for _ in range(2000))


def test_a_whole_reply_takes_as_long_as_its_tokens_and_its_header_says_so() -> None:
    decision = Court(first_token_s=1, tokens_per_s=10).ask(fault={"reply": "one two three"})
    assert decision.answer.head_due_s == pytest.approx(1.3)
    assert decision.headers["openai-processing-ms"] == "1301"


# Whose word goes first


def test_the_header_goes_before_what_was_added_this_before_the_file_and_replies_come_last() -> None:
    court = Court(replies=[{"reply": "of the replies"}], fault=[{"text": "first", "reply": "of the file"}])
    court.scenario.add(parse_fault({"first": 1, "reply": "added"}, "test"))
    first: dict[str, Any] = {"messages": [{"role": "user", "content": "first"}]}
    assert text(court.ask(fault={"reply": "of the header"}, **first)) == "of the header"
    assert text(court.ask(**first)) == "added"
    assert text(court.ask(**first)) == "of the file"
    assert text(court.ask()) == "of the replies"


def test_a_fault_breaks_what_the_replies_say_and_uses_none_up_when_it_answers_itself() -> None:
    court = Court(replies=[{"reply": "one"}, {"reply": "two"}, {"reply": "three"}])
    assert text(court.ask()) == "one"
    assert court.ask(fault={"status": 500}).outcome is None
    broken = court.ask(fault={"cut_after": 1})
    assert (text(broken), broken.fault.cut_after, broken.name) == ("two", 1, "cut_after 1")
    assert text(court.ask(fault={"reply": "mine"})) == "mine"
    assert text(court.ask()) == "three"


def test_replies_can_hold_whole_answers_and_meet_only_whom_they_are_for() -> None:
    court = Court(replies=[{"model": "gpt-4o", "status": 418, "body": "short and stout"}])
    assert court.ask().answer.status == 200
    assert body(court.ask(model="gpt-4o")) == b"short and stout"


def test_a_fault_with_an_answer_of_its_own_is_not_judged_and_any_other_is() -> None:
    court = Court()
    assert court.ask(fault={"status": 503}, key=None, temperature=9).answer.status == 503
    assert court.ask(fault={"raw": "x"}, key=None).answer.status == 200
    assert court.ask(fault={"refuse": "slow_down"}, key=None).answer.status == 429
    assert court.ask(fault={"reply": "x"}, key=None).answer.status == 401
    assert court.ask(fault={"cut_after": 1, "status": 201}, temperature=9).answer.status == 400


def test_a_fault_that_cannot_be_followed_is_a_400_that_says_why() -> None:
    decision = Court().ask(fault={"cut_aftr": 1})
    assert (decision.answer.status, decision.name) == (400, "refused")
    told = error(decision)
    assert (told["param"], told["code"]) == ("x-simulate", "invalid_simulation")
    assert "did you mean `cut_after`?" in told["message"]


def test_what_is_no_chat_meets_no_fault() -> None:
    court = Court(fault=[{"first": 1, "status": 500}])
    assert court.ask(path="/v1/embeddings").answer.status == 404
    assert court.ask(method="GET").answer.status == 405
    assert court.ask(method="GET", path="/v1/models").answer.status == 200
    assert court.ask().answer.status == 500


# Models


def test_all_models_are_listed_and_each_is_found() -> None:
    court = Court()
    listed = json.loads(body(court.ask(method="GET", path="/v1/models")))
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [model.name for model in MODELS]
    for model in listed["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert json.loads(body(court.ask(method="GET", path=f"/v1/models/{model['id']}"))) == model
    assert court.ask(method="GET", path="/v1/models").name == "models"


def test_a_model_that_is_not_there_is_not_found() -> None:
    decision = Court().ask(method="GET", path="/v1/models/no%2Dsuch")
    told = error(decision)
    assert (decision.answer.status, told["code"]) == (404, "model_not_found")
    assert told["message"] == "The model 'no-such' does not exist"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/models/none"])
@pytest.mark.parametrize("key", [None, "sk-bad-1"])
def test_models_are_shown_only_to_a_good_key(path: str, key: str | None) -> None:
    assert Court().ask(method="GET", path=path, key=key).answer.status == 401
    azure = Court(dialect="azure").ask(method="GET", path=path, key=key)
    assert (azure.answer.status, error(azure)["code"]) == (401, "401")
    assert Court(dialect="ollama").ask(method="GET", path=path, key=key).answer.status in {200, 404}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/models/none"])
def test_an_answer_to_head_is_that_to_get_without_its_body(path: str) -> None:
    got, asked = (Court().ask(method=method, path=path) for method in ("GET", "HEAD"))
    assert (asked.answer.status, asked.headers) == (got.answer.status, got.headers)
    assert asked.answer.length == got.answer.length == len(body(got))
    assert body(asked) == b""
    assert body(Court().ask(method="HEAD")) == b""


# Refusals


def test_a_schema_that_nothing_fits_is_a_400_that_names_it() -> None:
    schema = {"type": "object", "properties": {"a": {"allOf": [{"const": 1}, {"const": 2}]}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "impossible", "schema": schema}}
    decision = Court().ask(response_format=form)
    assert decision.answer.status == 400
    told = error(decision)
    assert told["param"] == "response_format"
    assert told["message"].startswith("Invalid schema for response_format 'impossible': ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_parameters_that_nobody_knows_are_refused_by_the_strict_alone(dialect: str) -> None:
    decision = Court(dialect=dialect).ask(query="api-version=1", repetition_penalty=1.1)
    if dialect in {"openai", "azure"}:
        assert decision.answer.status == 400
        assert error(decision)["message"] == "Unrecognized request argument supplied: repetition_penalty"
    else:
        assert decision.answer.status == 200


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("wrong", [{"messages": []}, {"temperature": 9}, {"stop": 7}, {"model": None}])
def test_what_no_server_can_answer_is_refused_by_all(dialect: str, wrong: dict[str, Any]) -> None:
    decision = Court(dialect=dialect).ask(query="api-version=1", **wrong)
    assert isinstance(decision.outcome, Refusal)
    assert decision.answer.status == 400


def test_every_try_has_a_request_id_of_its_own_and_the_same_reply() -> None:
    court = Court()
    first, second = court.ask(), court.ask()
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert isinstance(first.outcome, Reply)
    assert isinstance(second.outcome, Reply)
    assert first.outcome.id == second.outcome.id
    assert first.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert Court().ask().headers == first.headers


def test_a_long_prompt_that_comes_again_is_cached() -> None:
    court = Court()
    messages = [{"role": "user", "content": "word " * 2000}]
    decisions = [court.ask(messages=messages) for _ in range(2)]
    found = [decision.outcome.cached_tokens for decision in decisions if isinstance(decision.outcome, Reply)]
    assert found == [0, 1920]
