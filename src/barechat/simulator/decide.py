"""What is made of a request? Its fault, its limits, its refusal or its reply: a decision, before anything is sent.

No I/O; a reading of the clock comes in.
"""

import email.utils
import functools
from collections import Counter
from http import HTTPStatus
from typing import Any, Final

import msgspec

from barechat.simulator.answers import Answer, Pace, choose_answer
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.fault import NO_FAULT, Fault
from barechat.simulator.limits import Admission, Limits, azure_headers, openai_headers, retry_headers, roomy
from barechat.simulator.models import MODELS, Model, find_model
from barechat.simulator.prompt_cache import PromptCache
from barechat.simulator.refusals import Refusal, refuse, refuse_key, refuse_loosely, refuse_route
from barechat.simulator.replies import Replies
from barechat.simulator.reply import Reply
from barechat.simulator.request import Request, find_models_path, methods_of
from barechat.simulator.scenario import Scenario, ScenarioError
from barechat.simulator.schema.sampling import SchemaFault
from barechat.simulator.script import compose, identity
from barechat.simulator.words import Dice

_JITTER_STEPS: Final = 1000
_FEWEST_COMPLETION_TOKENS: Final = 16


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what came around its body."""

    method: str
    path: str
    query: str
    simulate: str | None
    attempt: int
    request: Request


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of a request: the fault that it met, the API's outcome, and the answer to send with its headers."""

    fault: Fault
    outcome: Reply | Refusal | None
    answer: Answer
    headers: dict[str, str]
    admission: Admission | None = None

    @property
    def name(self) -> str:
        """What the log calls it."""
        if isinstance(self.outcome, Refusal):
            return "limited" if self.admission is not None and self.admission.refusal is not None else "refused"
        return self.fault.decision


class Judge:
    """Decides under a scenario; remembers limits, cached prompts and which try of a request it is."""

    def __init__(self, scenario: Scenario, replies: Replies | None, *, started: float) -> None:
        self.limits = Limits(scenario.limits, started=started)
        self._scenario = scenario
        self._settings = scenario.settings
        self._replies = replies
        self._dialect = DIALECTS[scenario.settings.dialect]
        self._cache = PromptCache()
        self._attempts: Counter[bytes] = Counter()

    def count(self, request: Request) -> int:
        """Return which try of this very request it is, from 1."""
        self._attempts[request.digest] += 1
        return self._attempts[request.digest]

    def decide(self, call: Call, *, answering: int, now: float) -> Decision:
        """Decide about a call while so many others are being answered; `now` is in seconds since the epoch."""
        fault, outcome = NO_FAULT, refuse_route(call.method, call.path)
        if outcome is None and (model := find_models_path(call.path)) is not None:
            return self._list_models(call, model, now)
        if outcome is None:
            try:
                fault = self._find_fault(call)
            except ScenarioError as error:
                outcome = Refusal(message=str(error), param="x-simulate", code="invalid_simulation")
        admission: Admission | None = None
        said: Reply | Refusal | None = outcome
        if said is None and not fault.answers_itself:
            said, admission = self._judge(call, fault, now)
        pace = Pace(self._settings.first_token_s, self._settings.tokens_per_s).under(fault)
        pace = pace.slower(self._slowness(call, answering))
        answer = choose_answer(call.request, said, fault, pace, self._dialect)
        return self._answer(
            call, Decision(fault=fault, outcome=said, answer=answer, headers={}, admission=admission), now
        )

    def _find_fault(self, call: Call) -> Fault:
        fault = self._scenario.match(call.request, call.simulate)
        if self._replies is None or fault.answers_itself or fault.reply is not None:
            return fault
        found = self._replies.take(call.request)
        if found is None or fault is NO_FAULT:
            return found or fault
        return fault.over(found)

    def _judge(self, call: Call, fault: Fault, now: float) -> tuple[Reply | Refusal, Admission | None]:
        """Return what the API makes of a request, and how it stands with its limits."""
        dialect = self._dialect
        if (refused := self._refuse_caller(call)) is not None:
            return refused, None
        request = call.request.without(dialect.ignores)
        admission = self.limits.admit(request.key, request.model, _wanted_tokens(request), now)
        if admission.refusal is not None:
            return admission.refusal, admission
        refused = refuse(request) if dialect.is_strict else refuse_loosely(request)
        if refused is not None:
            return refused, admission
        try:
            reply = compose(
                request, seed=self._settings.seed, created=int(now), fault=fault, cache=self._cache.use(request)
            )
        except SchemaFault as error:
            name = request.get("response_format")["json_schema"].get("name")
            message = f"Invalid schema for response_format '{name}': {error}"
            return Refusal(message=message, param="response_format"), admission
        return reply, admission

    def _refuse_caller(self, call: Call) -> Refusal | None:
        """Refuse what this server alone refuses, and whoever has no good key."""
        refused = self._dialect.refuse(call.request, call.path, call.query)
        return refuse_key(call.request.key) if refused is None and self._dialect.needs_key else refused

    def _slowness(self, call: Call, answering: int) -> float:
        """Return how many times as long this answer takes: by the load, and by its own luck."""
        factor = 1 + self._settings.load.slowdown * answering
        if self._settings.jitter:
            dice = Dice(identity(self._settings.seed, call.request.digest, call.attempt) + b"jitter")
            share = dice.number(-_JITTER_STEPS, _JITTER_STEPS) / _JITTER_STEPS
            factor *= 1 + self._settings.jitter * share
        return max(factor, 1 / _JITTER_STEPS)

    def _answer(self, call: Call, decision: Decision, now: float) -> Decision:
        """Complete a decision with its headers, and drop the body of an answer to HEAD."""
        answer = decision.answer
        if call.method == "HEAD":
            answer = msgspec.structs.replace(answer, pieces=iter(()))
        return msgspec.structs.replace(decision, answer=answer, headers=self._headers(call, decision, now))

    def _headers(self, call: Call, decision: Decision, now: float) -> dict[str, str]:
        answer, request = decision.answer, call.request
        headers = {
            "date": _http_date(int(now)),
            "server": "barechat-simulator",
            "x-request-id": f"req_{identity(self._settings.seed, request.digest, call.attempt).hex()[:32]}",
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(1 + round(answer.head_due_s * 1000)),
            **self._limit_headers(request, answer.status, decision.admission, now),
        }
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(methods_of(call.path))
        return headers

    def _limit_headers(self, request: Request, status: int, admission: Admission | None, now: float) -> dict[str, str]:
        dialect = self._dialect
        if admission is None and status == HTTPStatus.TOO_MANY_REQUESTS:
            return {}  # a scenario's own, with the headers that it gives
        stands = roomy(_wanted_tokens(request), now) if admission is None else admission
        told: dict[str, str] = {}
        if dialect.limit_headers != "none":
            told = azure_headers(stands) if dialect.limit_headers == "azure" else openai_headers(stands)
        return {**told, **retry_headers(stands)} if dialect.tells_retry_after else told

    def _list_models(self, call: Call, name: str, now: float) -> Decision:
        """Answer with all models, or with the one that is named."""
        outcome = self._refuse_caller(call)
        found = find_model(name)
        body: dict[str, Any] | None = None
        if not name:
            body = {"object": "list", "data": [_describe(model) for model in MODELS]}
        elif found is not None:
            body = _describe(found)
        elif outcome is None:
            message = f"The model '{name}' does not exist"
            outcome = Refusal(status=404, message=message, param="model", code="model_not_found")
        fault = NO_FAULT if outcome is not None else Fault(name="models", body=body)
        answer = choose_answer(call.request, outcome, fault, Pace(), self._dialect)
        return self._answer(call, Decision(fault=fault, outcome=outcome, answer=answer, headers={}), now)


@functools.lru_cache(1)  # a second has many requests
def _http_date(now: int) -> str:
    return email.utils.formatdate(now, usegmt=True)


def _wanted_tokens(request: Request) -> int:
    """Return what a request counts before it is answered: its prompt, and the most that it asks for."""
    return request.prompt_tokens + (request.max_tokens or _FEWEST_COMPLETION_TOKENS) * request.count


def _describe(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owned_by}
