"""How status, headers and body become a reply or the right error.

Sources: the API's reference; for the errors' many shapes, what servers were seen to send (tests/data/vectors).
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    Conflict,
    ContentFiltered,
    ContextTooLong,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProtocolBroken,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
    TooLarge,
)
from barechat.records import UNPRICED, Choice, Custom, Function, Message, Reply, ToolCall, Verdict
from barechat.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_KEPT = 2048  # bytes of a failed answer's body that an error keeps
_QUOTED = 200

_OWN_END = frozenset({"stop", "tool_calls", "function_call"})

_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: BadRequest,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
# Servers spell these in snake, camel and kebab case; compared without anything but letters.
_BY_WORD: dict[str, type[ApiError]] = {
    "authenticationerror": AuthenticationFailed,
    "badrequesterror": BadRequest,
    "forbidden": PermissionDenied,
    "internalerror": ServerFailed,
    "internalservererror": ServerFailed,
    "invalidapikey": AuthenticationFailed,
    "invalidrequest": BadRequest,
    "invalidrequesterror": BadRequest,
    "modelnotfound": NotFound,
    "notfounderror": NotFound,
    "overloaded": Overloaded,
    "overloadederror": Overloaded,
    "permissiondeniederror": PermissionDenied,
    "permissionerror": PermissionDenied,
    "ratelimiterror": RateLimited,
    "ratelimitexceeded": RateLimited,
    "requestforbidden": PermissionDenied,
    "servererror": ServerFailed,
    "serverisoverloaded": Overloaded,
    "slowdown": RateLimited,
    "toomanyrequests": RateLimited,
    "unauthorized": AuthenticationFailed,
}
_QUOTA_WORDS = frozenset({"insufficientquota", "creditbalanceexhausted"})
_FILTER_WORDS = frozenset({"contentfilter", "responsibleaipolicyviolation"})
_TOO_LONG = re.compile(r"context (?:length|window|size)|maximum context|prompt is too long", re.IGNORECASE)
_HINTS: dict[type[ApiError], str] = {
    AuthenticationFailed: "Check the key, and that it belongs to this server.",
    ContentFiltered: "Change the messages; the same ones will be refused again.",
    ContextTooLong: "Shorten the messages, or lower max_completion_tokens.",
    NotFound: "Check the model's name, the base URL, and what the key may use.",
    Overloaded: "Try again later.",
    PermissionDenied: "Check what the key, its project and its region may use.",
    QuotaExhausted: "No wait cures this: add credit or raise the limit where the account is billed.",
    RateLimited: "Send less at a time, or raise the account's limits.",
    ServerFailed: "Try again later; the request id helps the server's support.",
    TooLarge: "Send a smaller request.",
}


def decode_object(body: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object, or raise ProtocolBroken that quotes what stands in its place."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolBroken(f"{what} is not JSON: {error}; it begins {_quote(body)}", body=_kept(body)) from error
    if not isinstance(value, dict):
        raise ProtocolBroken(f"{what} is not a JSON object; it begins {_quote(body)}", body=_kept(body))
    return value


def read_whole(body: bytes) -> dict[str, Any]:
    """Return the object of a whole reply that came with status 200.

    Raises:
        ApiError: the body is the server's error after all.
        ProtocolBroken: not JSON, or an object without choices.
    """
    raw = decode_object(body, "the reply")
    if raw.get("error") is not None:
        raise api_error(200, raw, body)
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices:
        if raw.get("object") == "error" or "detail" in raw:
            raise api_error(200, raw, body)
        raise ProtocolBroken(f"the reply has no choices; it begins {_quote(body)}", body=_kept(body))
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise ProtocolBroken(f"a choice of the reply has no message; it begins {_quote(body)}", body=_kept(body))
    return raw


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer with a status other than 200 stands for, whatever its body is."""
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirections
        target = headers.get("location", "nowhere")
        return ApiError(
            f"the server answered {status}, a redirect to {target}; redirects are not followed, since the key goes "
            "only where it was meant to: set base_url to the server itself",
            status=status,
            body=_kept(body),
        )
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raw = _text_of(body)
    return api_error(status, raw, body)


def api_error(status: int, raw: Any, body: bytes | str) -> ApiError:
    """Return the error that the server's error object, of any shape, stands for.

    Under status 200 (an error in a body or a stream) its class comes from its own code and type.
    """
    facts = _error_facts(raw)
    code, kind = _word(facts.get("code")), _word(facts.get("type"))
    said = _said(facts) or "nothing more"
    inner = facts.get("innererror")
    words = {
        _letters(word) for word in (code, kind, _word(inner.get("code")) if isinstance(inner, dict) else None) if word
    }
    error_class = _class_of(status, code, words, said)
    hint = _HINTS.get(error_class, "")
    opening = "the server's answer is an error" if status == 200 else f"the server answered {status}"  # noqa: PLR2004 - as above
    known = "" if code is None or code == str(status) else f" ({code})"
    return error_class(
        f"{opening}{known}: {said}{'' if said.endswith(('.', '!', '?')) else '.'} {hint}".rstrip(),
        status=status,
        code=code,
        type=kind,
        param=_word(facts.get("param")),
        body=_kept(body),
    )


def verdict_of(raw: Mapping[str, Any], n: int | None, *, ended: bool) -> Verdict:
    """Return what the choices' ends say of the answer; `ended` is whether the server properly closed an answer.

    Raises:
        StreamTruncated: the answer isn't whole, or the server says that it failed half-way.
    """
    choices: list[dict[str, Any]] = raw["choices"]
    reasons = [choice.get("finish_reason") for choice in choices]
    if "error" in reasons:
        for choice in choices:
            if isinstance(choice.get("error"), dict):
                raise api_error(200, choice, msgspec.json.encode(choice["error"]))
        raise StreamTruncated("the server gave up on the answer: a choice's finish_reason is 'error'")
    known = [reason for reason in reasons if isinstance(reason, str) and reason]
    if len(known) < max(n or 1, len(choices)):
        if not ended:
            raise StreamTruncated(
                f"the stream ended before the answer did: {len(known)} of {max(n or 1, len(choices))} choices have a "
                "finish_reason, and there was no proper end"
            )
        return "unknown"
    if "content_filter" in known:
        return "filtered"
    if "length" in known:
        return "limited"
    return "complete" if _OWN_END.issuperset(known) else "unknown"


def reply_of(raw: dict[str, Any], verdict: Verdict) -> Reply:
    """Return a reply's record, without what only the call knows (cost, request id, limits, attempts)."""
    created = raw.get("created")
    return Reply(
        id=_text(raw.get("id")) or "",
        model=_text(raw.get("model")) or "",
        choices=tuple(_choice(choice, position) for position, choice in enumerate(raw["choices"])),
        usage=read_usage(raw.get("usage")),
        cost=UNPRICED,
        verdict=verdict,
        raw=raw,
        created=created if isinstance(created, int) else 0,
        service_tier=_text(raw.get("service_tier")),
        system_fingerprint=_text(raw.get("system_fingerprint")),
    )


def content_text(value: Any) -> str | None:
    """Return a content's text: a string as it is, a list of parts as their texts together, None for null.

    Raises:
        ProtocolBroken: it is something else, which would be lost in silence.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return "".join(part["text"] for part in value if isinstance(part.get("text"), str))
    raise ProtocolBroken(f"a message's text is a {type(value).__name__}: {str(value)[:_QUOTED]!r}")


def _choice(raw: Mapping[str, Any], position: int) -> Choice:
    index, logprobs = raw.get("index"), raw.get("logprobs")
    return Choice(
        index=index if isinstance(index, int) else position,
        message=_message(raw["message"]),
        finish_reason=_text(raw.get("finish_reason")) or None,
        logprobs=logprobs if isinstance(logprobs, dict) else None,
    )


def _message(raw: Mapping[str, Any]) -> Message:
    calls, annotations, audio = raw.get("tool_calls"), raw.get("annotations"), raw.get("audio")
    return Message(
        role=_text(raw.get("role")) or "assistant",
        content=content_text(raw.get("content")),
        refusal=content_text(raw.get("refusal")),
        reasoning=_text(raw.get("reasoning_content")) or _text(raw.get("reasoning")),
        tool_calls=tuple(_tool_call(call, at) for at, call in enumerate(calls))
        if isinstance(calls, list) and calls
        else None,
        function_call=_function(raw.get("function_call")),
        annotations=annotations if isinstance(annotations, list) else None,
        audio=audio if isinstance(audio, dict) else None,
    )


def _tool_call(raw: Any, position: int) -> ToolCall:
    if not isinstance(raw, dict):
        raise ProtocolBroken(f"a tool call is not an object: {str(raw)[:_QUOTED]!r}")
    index, custom = raw.get("index"), raw.get("custom")
    return ToolCall(
        id=_text(raw.get("id")) or "",
        type=_text(raw.get("type")) or ("custom" if isinstance(custom, dict) else "function"),
        function=_function(raw.get("function")),
        custom=Custom(name=_text(custom.get("name")) or "", input=_text(custom.get("input")) or "")
        if isinstance(custom, dict)
        else None,
        index=index if isinstance(index, int) else position,
    )


def _function(raw: Any) -> Function | None:
    if not isinstance(raw, dict):
        return None
    arguments = raw.get("arguments")
    if isinstance(arguments, (dict, list)):  # Ollama's own habit, seen through proxies
        arguments = msgspec.json.encode(arguments).decode()
    return Function(name=_text(raw.get("name")) or "", arguments=_text(arguments) or "")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) else None


def _error_facts(raw: Any) -> dict[str, Any]:
    """Return the dict of a server's error that holds its message, code, type and param."""
    if not isinstance(raw, dict):
        return {"message": raw}
    error = raw.get("error")
    if isinstance(error, dict):
        return error
    if error is not None:
        return {**raw, "message": error if isinstance(error, str) else raw.get("message", error)}
    return raw


def _said(facts: Mapping[str, Any]) -> str:
    """Return the server's own words, on one line."""
    for name in ("message", "detail", "error_description", "msg"):
        value = facts.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())[:1000]
        if isinstance(value, (dict, list)) and value:
            return msgspec.json.encode(value).decode()[:1000]
    return " ".join(str(facts["message"]).split())[:1000] if facts.get("message") is not None else ""


def _class_of(status: int, code: str | None, words: set[str], said: str) -> type[ApiError]:
    if words & _QUOTA_WORDS:
        return QuotaExhausted
    if words & _FILTER_WORDS:
        return ContentFiltered
    if status == 200:  # noqa: PLR2004 - the status that says nothing of the error
        status = int(code) if code and re.fullmatch("[45][0-9][0-9]", code) else 0
    found = _BY_STATUS.get(status) or (ServerFailed if status >= 500 else None)  # noqa: PLR2004 - HTTP's server errors
    if found is None and not status:
        found = next((_BY_WORD[word] for word in sorted(words) if word in _BY_WORD), None)
    if "contextlengthexceeded" in words or (found is BadRequest and _TOO_LONG.search(said)):
        return ContextTooLong
    return found or ApiError


def _word(value: Any) -> str | None:
    """Return a code, type or param as text; LiteLLM's "None" is a null that was printed."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value)
    return None if text in {"", "None", "null"} else text[:_QUOTED]


def _letters(word: str) -> str:
    return re.sub("[^a-z]", "", word.lower())


def _text_of(body: bytes) -> str:
    """Return what a body that isn't JSON says to a person: text as it is, HTML without its tags."""
    text = body[: 16 * BODY_KEPT].decode("utf-8", "replace")
    if re.match(r"\s*<", text):
        text = re.sub(r"(?is)<(script|style|head)\b(?!.*<title).*?</\1>|<[^>]*>", " ", text)
        text = html.unescape(text)
    return " ".join(text.split())[:_QUOTED]


def _kept(body: bytes | str) -> bytes:
    return body[:BODY_KEPT] if isinstance(body, bytes) else body[:BODY_KEPT].encode("utf-8", "replace")[:BODY_KEPT]


def _quote(body: bytes | str) -> str:
    return repr(_kept(body)[:_QUOTED])
