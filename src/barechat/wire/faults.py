"""How what a server says of a fault becomes an error: any status, any shape of body, whole or in a stream.

Sources: https://platform.openai.com/docs/guides/error-codes/api-errors; for the many other shapes, what servers were
seen to send (tests/data/vectors/errors.json).
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
    TooLarge,
)
from barechat.wire.surrogates import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BODY_KEPT = 2048  # bytes of a failed answer's body that an error keeps
_QUOTED = 200
_OK = 200  # the status that says nothing of an error in the body
_REPR = reprlib.Repr()  # of any size and depth of a value, in bounded time
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _QUOTED

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
_SECRET_PARTS = re.compile(r"^([^/?#]*//)[^/?#]*@|[?#].*", re.DOTALL)  # of a URL: its user, query and fragment
_LONG_REFERENCE = re.compile(r"&#[0-9]{9,}")  # of no character; html.unescape would fail on thousands of digits
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


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer with a status other than 200 stands for, whatever its body is."""
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirections
        target = _SECRET_PARTS.sub(r"\1", headers.get("location", "nowhere"))[:_QUOTED]
        return ApiError(
            f"the server answered {status}, a redirect to {target}; redirects are not followed, since the key goes "
            "only where it was meant to: set base_url to the server itself",
            status=status,
            body=kept(body),
        )
    try:
        raw = decode(_without_bom(body))
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
        body=kept(body),
    )


def decode_object(body: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object, or raise ProtocolBroken that quotes what stands in its place."""
    try:
        value = decode(_without_bom(body))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(what, body, error) from error
    if not isinstance(value, dict):
        raise ProtocolBroken(f"{what} is not a JSON object; it begins {quoted_start(body)}", body=kept(body))
    return value


def unreadable(what: str, body: bytes | str, error: Exception) -> ProtocolBroken:
    """Return the error of what can't be parsed; it quotes the beginning."""
    said = f"is not JSON: {error}"
    if isinstance(error, RecursionError):
        said = "is JSON of too many levels"
    elif isinstance(error, msgspec.ValidationError):  # all that it refuses without a type to go by
        said = "has a number that is too large to be read"
    return ProtocolBroken(f"{what} {said}; it begins {quoted_start(body)}", body=kept(body))


def as_json(value: Any) -> str:
    """Return what the server sent as an object where text belongs, as JSON text."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return quoted(value)


def quoted(value: Any) -> str:
    """Return any value's repr, cut short."""
    return _REPR.repr(value)[:_QUOTED]


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
        text = html.unescape(_LONG_REFERENCE.sub("", " ".join(_seen(text))))
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


def kept(body: bytes | str) -> bytes:
    """Return the beginning of a body that an error keeps."""
    return body[:BODY_KEPT] if isinstance(body, bytes) else body[:BODY_KEPT].encode("utf-8", "replace")[:BODY_KEPT]


def quoted_start(body: bytes | str) -> str:
    """Return the beginning of a body for a message."""
    return repr(kept(body)[:_QUOTED])
