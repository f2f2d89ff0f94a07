"""How status, headers and body become a reply or the right error.

Sources: the API's reference; for the errors' many shapes, what servers were seen to send (tests/data/vectors).
"""

from __future__ import annotations

import codecs
import html
import re
import reprlib
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
    from collections.abc import Iterator, Mapping

BODY_KEPT = 2048  # bytes of a failed answer's body that an error keeps
_QUOTED = 200
_OK = 200  # the status that says nothing of an error in the body
_REPR = reprlib.Repr()  # of any size and depth of a value, in bounded time
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _QUOTED

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
_QUOTA_WORDS_OF_A_429 = frozenset({"billinghardlimitreached", "billingnotactive", "exceededcurrentquotaerror"})
_FILTER_WORDS = frozenset({"contentfilter", "contentpolicyviolation", "responsibleaipolicyviolation"})
_TOO_LONG = re.compile(
    r"context (?:length|window|size)|maximum context|prompt is too long|input token count", re.IGNORECASE
)
_TAG = re.compile(r"(<[^<>]*>)")
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
        value = msgspec.json.decode(_without_bom(body))
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
        if raw.get("object") == "error" or "detail" in raw or isinstance(raw.get("message"), str):
            raise api_error(200, raw, body)
        raise ProtocolBroken(f"the reply has no choices; it begins {_quote(body)}", body=_kept(body))
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise ProtocolBroken(f"a choice of the reply has no message; it begins {_quote(body)}", body=_kept(body))
    return raw


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer with a status other than 200 stands for, whatever its body is."""
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirections
        target = headers.get("location", "nowhere")[:_QUOTED]
        return ApiError(
            f"the server answered {status}, a redirect to {target}; redirects are not followed, since the key goes "
            "only where it was meant to: set base_url to the server itself",
            status=status,
            body=_kept(body),
        )
    try:
        raw = msgspec.json.decode(_without_bom(body))
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
    error_class = _class_of(_own_status(facts) if status == _OK else status, words, said)
    hint = _HINTS.get(error_class, "")
    opening = "the server's answer is an error" if status == _OK else f"the server answered {status}"
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
                raise api_error(200, choice, as_json(choice["error"]))
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
    raise ProtocolBroken(f"a message's text is a {type(value).__name__}: {quoted(value)}")


def reasoning_text(raw: Mapping[str, Any]) -> str | None:
    """Return a message's or a delta's reasoning, by whichever of its two names the server uses."""
    value = raw.get("reasoning_content") or raw.get("reasoning")
    return value if isinstance(value, str) else None


def as_json(value: Any) -> str:
    """Return what the server sent as an object where text belongs, as JSON text."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return quoted(value)


def quoted(value: Any) -> str:
    """Return any value's repr, cut short."""
    return _REPR.repr(value)[:_QUOTED]


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
        reasoning=reasoning_text(raw),
        tool_calls=tuple(_tool_call(call, at) for at, call in enumerate(calls))
        if isinstance(calls, list) and calls
        else None,
        function_call=_function(raw.get("function_call")),
        annotations=annotations if isinstance(annotations, list) else None,
        audio=audio if isinstance(audio, dict) else None,
    )


def _tool_call(raw: Any, position: int) -> ToolCall:
    if not isinstance(raw, dict):
        raise ProtocolBroken(f"a tool call is not an object: {quoted(raw)}")
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
        arguments = as_json(arguments)
    return Function(name=_text(raw.get("name")) or "", arguments=_text(arguments) or "")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) else None


def _error_facts(raw: Any) -> dict[str, Any]:
    """Return the dict of a server's error that holds its message, code, type and param."""
    if isinstance(raw, list) and raw and isinstance(raw[0], dict):  # Gemini wraps its error in a list
        raw = raw[0]
    if not isinstance(raw, dict):
        return {"message": raw}
    error = raw.get("error")
    if isinstance(error, dict):
        return error
    return {**raw, "message": raw.get("message") or error}


def _said(facts: Mapping[str, Any]) -> str:
    """Return the server's own words, on one line."""
    for name in ("message", "detail", "error_description", "msg"):
        value = facts.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())[:1000]
        if isinstance(value, (dict, list)) and value:
            return as_json(value)[:1000]
    message = facts.get("message")
    return quoted(message) if message else ""


def _own_status(facts: Mapping[str, Any]) -> int:
    """Return the status that an error under status 200 names for itself, or 0."""
    named = (_word(facts.get(name)) for name in ("code", "status_code", "statusCode", "status"))
    return next((int(word) for word in named if word and re.fullmatch("[45][0-9][0-9]", word)), 0)


def _class_of(status: int, words: set[str], said: str) -> type[ApiError]:
    if words & _QUOTA_WORDS or (status in {0, 429} and words & _QUOTA_WORDS_OF_A_429):
        return QuotaExhausted
    if words & _FILTER_WORDS:
        return ContentFiltered
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
    text = body[: 16 * BODY_KEPT].decode("utf-8-sig", "replace")
    if text.lstrip().startswith("<"):
        text = html.unescape(" ".join(_seen(text)))
    return " ".join(text.split())[:_QUOTED]


def _seen(page: str) -> Iterator[str]:
    """Yield the pieces of an HTML page that a person would see."""
    hidden = ""  # the element whose text no one sees
    for position, piece in enumerate(_TAG.split(page)):
        if position % 2 == 0:  # text; between any two texts is a tag
            if not hidden:
                yield piece
            continue
        tag = piece[1:-1].strip().lower()
        if hidden:
            hidden = "" if tag == f"/{hidden}" else hidden
        else:
            hidden = next((name for name in ("script", "style") if tag.startswith(name)), "")


def _without_bom(body: bytes | str) -> bytes | str:
    return body.removeprefix(codecs.BOM_UTF8) if isinstance(body, bytes) else body


def _kept(body: bytes | str) -> bytes:
    return body[:BODY_KEPT] if isinstance(body, bytes) else body[:BODY_KEPT].encode("utf-8", "replace")[:BODY_KEPT]


def _quote(body: bytes | str) -> str:
    return repr(_kept(body)[:_QUOTED])
