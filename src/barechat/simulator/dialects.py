"""How do the servers differ from the official one? Nine dialects, each with the deviations that were seen in it."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

import msgspec

from barechat.simulator.dialect import TEXT, Dialect, ErrorBody, LimitHeaders
from barechat.simulator.refusals import Refusal
from barechat.simulator.reply import Choice, Reply
from barechat.simulator.request import Request

_encode: Final = msgspec.json.Encoder().encode
_DEPLOYMENTS: Final = "/openai/deployments/"
_FILTERED: Final = ("hate", "self_harm", "sexual", "violence")
_LLAMA_CONTEXT_TOKENS: Final = 2048
# https://docs.litellm.ai/docs/exception_mapping
_LITELLM_BY_CODE: Final = {
    "context_length_exceeded": "ContextWindowExceededError",
    "content_filter": "ContentPolicyViolationError",
}
_LITELLM_BY_STATUS: Final = {
    400: "BadRequestError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "Timeout",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}
_PLAIN_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


class _Other(Dialect):
    """What all have in common that aren't the official API."""

    is_strict = False
    obfuscates = False
    limit_headers: ClassVar[LimitHeaders] = "none"

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        body.pop("service_tier")
        for choice in body["choices"]:
            message = choice["message"]
            for name in ("annotations", "refusal"):
                if not message[name]:
                    del message[name]

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        chunk.pop("service_tier")

    def role_delta(self, choice: Choice) -> bytes:
        return b'"role":"assistant","content":""'


class Azure(Dialect):
    """Azure OpenAI: a first chunk without choices, filter results, deployments in the URL, its gateway's errors."""

    name = "azure"
    obfuscates = False
    limit_headers = "azure"

    def refuse(self, request: Request, path: str, query: str) -> Refusal | None:
        if request.key is None or request.key.startswith("sk-bad"):
            return Refusal(
                status=401,
                message="Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
                "valid key for an active subscription and use a correct regional API endpoint for your resource.",
                code="401",
            )
        if _DEPLOYMENTS in path and "api-version=" not in query:
            return Refusal(status=404, message="Resource not found", code="404")
        if (request.model or "").startswith("no-"):
            return Refusal(
                status=404,
                message="The API deployment for this resource does not exist. If you created the deployment within "
                "the last 5 minutes, please wait a moment and try again.",
                code="DeploymentNotFound",
            )
        return None

    def error_object(self, refusal: Refusal) -> dict[str, Any]:
        if refusal.code == "content_filter":
            return _azure_content_filter(refusal)
        if refusal.status == HTTPStatus.TOO_MANY_REQUESTS and refusal.type != "insufficient_quota":
            return {"code": "429", "message": refusal.message}
        if refusal.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:  # the gateway's, not the model's
            return {"code": refusal.code or str(refusal.status), "message": refusal.message}
        return refusal.error

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        body.pop("service_tier")
        body["prompt_filter_results"] = [_prompt_filter_result()]
        for choice in body["choices"]:
            choice["content_filter_results"] = _filter_results()

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        chunk.pop("service_tier")
        for choice in chunk["choices"]:
            choice["content_filter_results"] = {} if choice["finish_reason"] else _filter_results()

    def opening(self, reply: Reply) -> Iterator[bytes]:
        first = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        yield b"data: %b\n\n" % _encode({**first, "prompt_filter_results": [_prompt_filter_result()]})


class VLLM(_Other):
    """vLLM: integer codes, several tokens a chunk, the last of them on the finish chunk, keys of its own."""

    name = "vllm"
    reasoning_name = "reasoning_content"
    tokens_per_chunk = 3
    ends_with_content = True

    def error(self, refusal: Refusal, request: Request) -> ErrorBody:
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            return ErrorBody(refusal.status, _encode({"error": "Unauthorized"}))
        return super().error(refusal, request)

    def error_object(self, refusal: Refusal) -> dict[str, Any]:
        kinds = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError"}
        return {
            "message": refusal.message,
            "type": kinds.get(refusal.status, "InternalServerError"),
            "param": refusal.param,
            "code": refusal.status,
        }

    def error_events(self, error: Any, reply: Reply | None) -> bytes:
        return super().error_events(error, reply) + b"data: [DONE]\n\n"

    def usage(self, reply: Reply) -> dict[str, Any]:
        return {**_plain_usage(reply), "prompt_tokens_details": None}

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body.update(system_fingerprint=None, service_tier=None, prompt_logprobs=None, kv_transfer_params=None)
        for choice in body["choices"]:
            choice["stop_reason"] = None
            message = choice["message"]
            for name in ("refusal", "annotations", "audio", "function_call", "reasoning_content"):
                message.setdefault(name, None)
            message.setdefault("tool_calls", [])

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        chunk.pop("system_fingerprint")
        for choice in chunk["choices"]:
            choice["token_ids"] = None
            if choice["finish_reason"]:
                choice["stop_reason"] = None


class LlamaCpp(_Other):
    """llama.cpp's Python server: passes over what it doesn't know, and answers a long streamed prompt with nothing."""

    name = "llama.cpp"
    ignores = frozenset({"n", "max_completion_tokens", "stream_options"})
    usage_place = "nowhere"

    def refuse(self, request: Request, path: str, query: str) -> Refusal | None:
        if request.body is not None and request.prompt_tokens > _LLAMA_CONTEXT_TOKENS:
            return Refusal(
                status=HTTPStatus.OK if request.stream else HTTPStatus.BAD_REQUEST,
                message=f"This model's maximum context length is {_LLAMA_CONTEXT_TOKENS} tokens. However, you "
                f"requested {request.prompt_tokens} tokens. Please reduce the length of the messages.",
                param="messages",
                code="context_length_exceeded",
            )
        return None

    def error(self, refusal: Refusal, request: Request) -> ErrorBody:
        if refusal.status == HTTPStatus.OK:
            return ErrorBody(refusal.status, b"", "text/event-stream; charset=utf-8")
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            return ErrorBody(refusal.status, _encode({"detail": "Invalid API key"}))
        if refusal.status == HTTPStatus.BAD_REQUEST and not request.json:
            return ErrorBody(HTTPStatus.INTERNAL_SERVER_ERROR, b"Internal Server Error", TEXT)
        return super().error(refusal, request)

    def usage(self, reply: Reply) -> dict[str, Any]:
        return _plain_usage(reply)

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body.pop("system_fingerprint")

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        chunk.pop("system_fingerprint")

    def role_delta(self, choice: Choice) -> bytes:
        return b'"role":"assistant"'


class Ollama(_Other):
    """Ollama: errors are bare text, a stream's finish_reason stays null, and no key is asked for."""

    name = "ollama"
    needs_key = False
    reasoning_name = "reasoning"
    calls_at_once = True
    tells_finish_reason = False

    def error_object(self, refusal: Refusal) -> str:
        return refusal.message

    def usage(self, reply: Reply) -> dict[str, Any]:
        return _plain_usage(reply)

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body["system_fingerprint"] = "fp_ollama"
        for choice in body["choices"]:
            choice.pop("logprobs")

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        chunk["system_fingerprint"] = "fp_ollama"
        for choice in chunk["choices"]:
            choice.pop("logprobs")


class Groq(_Other):
    """Groq: a named `error` event and no `[DONE]` after it, usage also under `x_groq`."""

    name = "groq"
    limit_headers = "openai"
    reasoning_name = "reasoning"
    calls_at_once = True

    def error_object(self, refusal: Refusal) -> dict[str, Any]:
        return {name: value for name, value in refusal.error.items() if name != "param" and value is not None}

    def error_events(self, error: Any, reply: Reply | None) -> bytes:
        return b"event: error\ndata: %b\n\n" % _encode({"error": error})

    def usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "queue_time": 0.02,
            **_plain_usage(reply),
            "prompt_time": 0.01,
            "completion_time": 0.1,
            "total_time": 0.11,
        }

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body["x_groq"] = {"id": f"req_{reply.id[9:]}"}

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        if is_last:
            chunk["x_groq"] = {"id": f"req_{reply.id[9:]}", "usage": self.usage(reply)}


class OpenRouter(_Other):
    """OpenRouter: comments while it looks for a provider, integer codes, errors beside choices, a cost in the usage."""

    name = "openrouter"
    reasoning_name = "reasoning"
    usage_place = "own chunk with a choice"
    usage_unasked = True

    def error_object(self, refusal: Refusal) -> dict[str, Any]:
        return {"message": refusal.message, "code": refusal.status}

    def error_events(self, error: Any, reply: Reply | None) -> bytes:
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        chunk = {"object": "chat.completion.chunk", "provider": "Simulated", "error": error, "choices": [choice]}
        if reply is not None:
            chunk.update(id=reply.id, created=reply.created, model=reply.model)
        return b"data: %b\n\n" % _encode(chunk)

    def usage(self, reply: Reply) -> dict[str, Any]:
        return {**reply.usage(), "cost": 0.0, "is_byok": False}

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body["provider"] = "Simulated"
        for choice in body["choices"]:
            choice["native_finish_reason"] = choice["finish_reason"]
            choice["message"].setdefault("reasoning", None)
            choice["message"].setdefault("refusal", None)

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        chunk["provider"] = "Simulated"
        for choice in chunk["choices"]:
            choice["native_finish_reason"] = choice["finish_reason"]

    def opening(self, reply: Reply) -> Iterator[bytes]:
        yield b": OPENROUTER PROCESSING\n\n"
        yield b": OPENROUTER PROCESSING\n\n"


class Transformers(_Other):
    """transformers serve: never a `[DONE]`, usage on the last choice's chunk, errors under `detail`."""

    name = "transformers"
    needs_key = False
    ends_with_done = False
    usage_place = "last chunk"
    usage_unasked = True

    def error(self, refusal: Refusal, request: Request) -> ErrorBody:
        return ErrorBody(refusal.status, _encode({"detail": refusal.message}))

    def usage(self, reply: Reply) -> dict[str, Any]:
        return _plain_usage(reply)

    def amend_reply(self, body: dict[str, Any], reply: Reply) -> None:
        super().amend_reply(body, reply)
        body["system_fingerprint"] = ""

    def amend_chunk(self, chunk: dict[str, Any], reply: Reply, *, is_last: bool = False) -> None:
        super().amend_chunk(chunk, reply, is_last=is_last)
        chunk["system_fingerprint"] = ""

    def role_delta(self, choice: Choice) -> bytes:
        return b'"role":"assistant"'


class LiteLLM(_Other):
    """The LiteLLM proxy: codes and "None" as text, no Retry-After, usage beside a choice, a bare 500 without a key."""

    name = "litellm"
    tells_retry_after = False
    reasoning_name = "reasoning_content"
    usage_place = "own chunk with a choice"

    def error(self, refusal: Refusal, request: Request) -> ErrorBody:
        if refusal.status == HTTPStatus.UNAUTHORIZED and request.key is None:
            return ErrorBody(HTTPStatus.INTERNAL_SERVER_ERROR, b"Internal Server Error", TEXT)
        return super().error(refusal, request)

    def error_object(self, refusal: Refusal) -> dict[str, Any]:
        name = _LITELLM_BY_CODE.get(refusal.code or "") or _LITELLM_BY_STATUS.get(refusal.status, "APIError")
        start = "Authentication Error, " if refusal.status == HTTPStatus.UNAUTHORIZED else f"litellm.{name}: "
        kind = {401: "auth_error", 429: "throttling_error"}.get(refusal.status, "None")
        return {"message": f"{start}{refusal.message}", "type": kind, "param": "None", "code": str(refusal.status)}


DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        Dialect(),
        Azure(),
        VLLM(),
        LlamaCpp(),
        Ollama(),
        Groq(),
        OpenRouter(),
        Transformers(),
        LiteLLM(),
    )
}


def _plain_usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage()
    return {name: usage[name] for name in _PLAIN_USAGE}


def _filter_results() -> dict[str, Any]:
    return {name: {"filtered": False, "severity": "safe"} for name in _FILTERED}


def _prompt_filter_result() -> dict[str, Any]:
    results = {**_filter_results(), "jailbreak": {"filtered": False, "detected": False}}
    return {"prompt_index": 0, "content_filter_results": results}


def _azure_content_filter(refusal: Refusal) -> dict[str, Any]:
    results = {**_filter_results(), "hate": {"filtered": True, "severity": "high"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    return {**refusal.error, "type": None, "param": "prompt", "status": int(refusal.status), "innererror": inner}
