"""What can the model asked for not do? For requests whose shapes are right.

Only what is known of a model that is known is refused: any other takes everything.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from barechat.simulator.contract import wording
from barechat.simulator.contract.wording import Refusal
from barechat.simulator.models import Model, find_model
from barechat.simulator.request import Request

# These count reasoning tokens too, so the API takes only the name that says so.
_COUNTS_REASONING: Final = ("o1", "o3", "o4", "gpt-5", "gpt-6")
# What the models that always reason take only as it is by default, by the default.
_DEFAULT_ONLY: Final = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}
_NOT_TAKEN: Final = ("top_logprobs", "logit_bias", "prediction")
_NO_STOP: Final = ("o3", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano")
_NO_PARALLEL_CALLS: Final = ("o1", "o3", "o4-mini")
_EFFORTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("o1", "o3", "o4-mini"), ("low", "medium", "high")),
    **dict.fromkeys(("gpt-5", "gpt-5-mini", "gpt-5-nano"), ("minimal", "low", "medium", "high")),
}
# Their prompts must leave room for the longest output.
_KEEPS_ROOM: Final = ("gpt-5", "gpt-5-mini", "gpt-5-nano")


def refuse_model(name: str) -> Refusal | None:
    """Refuse a model that isn't there: one whose name starts with `no-`."""
    if not name.startswith("no-"):
        return None
    return Refusal(
        status=404,
        message=f"The model `{name}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def refuse_capability(request: Request, body: Mapping[str, Any]) -> Refusal | None:
    """Return the first thing that the API would refuse because of the model."""
    name = request.model or ""
    if body.get("max_tokens") is not None and name.rpartition("/")[2].startswith(_COUNTS_REASONING):
        return Refusal(
            message="Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if (absent := refuse_model(name)) is not None:
        return absent
    model = find_model(name)
    if model is None:
        return None
    if model.effort != "none":
        for found in _always_reasoning(model, body):
            return found
    elif not model.reasons and body.get("reasoning_effort") is not None:
        return Refusal(message="Unrecognized request argument supplied: reasoning_effort")
    return _output(request, model) or _context(request, model)


def _always_reasoning(model: Model, body: Mapping[str, Any]) -> Iterator[Refusal]:
    temperature = body.get("temperature")
    if temperature not in {None, 1}:
        rest = "with this model. Only the default (1) value is supported."
        yield wording.unsupported_value("temperature", temperature, rest)
    for name, default in _DEFAULT_ONLY.items():
        if body.get(name, default) not in {None, default}:
            yield wording.unsupported_parameter(name)
    for name in _NOT_TAKEN:
        if body.get(name) is not None:
            yield wording.unsupported_parameter(name)
    if model.name in _NO_STOP and body.get("stop") is not None:
        yield wording.unsupported_parameter("stop")
    if model.name in _NO_PARALLEL_CALLS and "parallel_tool_calls" in body:
        yield wording.unsupported_parameter("parallel_tool_calls")
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS[model.name]:
        supported = wording.listed(_EFFORTS[model.name], "and")
        yield wording.unsupported_value(
            "reasoning_effort", effort, f"with this model. Supported values are: {supported}."
        )


def _output(request: Request, model: Model) -> Refusal | None:
    wanted = request.max_tokens
    if wanted is None or wanted <= model.output_tokens:
        return None
    return Refusal(
        message=f"max_tokens is too large: {wanted}. This model supports at most {model.output_tokens} completion "
        f"tokens, whereas you provided {wanted}.",
        param="max_tokens",
        code="invalid_value",
    )


def _context(request: Request, model: Model) -> Refusal | None:
    prompt, wanted = request.prompt_tokens, request.max_tokens or 0
    window = f"This model's maximum context length is {model.context_tokens} tokens."
    longest = model.context_tokens - model.output_tokens
    if model.name in _KEEPS_ROOM and prompt > longest:
        message = (
            f"Input tokens exceed the configured limit of {longest} tokens. "
            f"Your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        )
    elif prompt > model.context_tokens:
        message = (
            f"{window} However, your messages resulted in {prompt} tokens. Please reduce the length of the messages."
        )
    elif prompt + wanted > model.context_tokens:
        message = (
            f"{window} However, you requested {prompt + wanted} tokens ({prompt} in the messages, {wanted} in the "
            "completion). Please reduce the length of the messages or completion."
        )
    else:
        return None
    return Refusal(message=message, param="messages", code="context_length_exceeded")
