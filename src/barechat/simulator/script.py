"""What does the simulator answer? A request that nothing refuses becomes a reply, before it is bytes.

No I/O, no clock, no chance: the same request, seed and `created` give the same reply, streamed or whole.
"""

import base64
import hashlib
import json
from typing import Any, Final

from barechat.simulator.fault import NO_FAULT, Fault, Scripted, ScriptedCall
from barechat.simulator.models import find_model
from barechat.simulator.prompt_cache import NO_CACHE, CacheUse
from barechat.simulator.reply import Choice, Reply, ToolCall, split_tokens
from barechat.simulator.request import Request
from barechat.simulator.schema.sampling import sample
from barechat.simulator.tools import Calls, call_id, choose_calls
from barechat.simulator.words import Dice, json_object, prose

_NATURAL_LENGTH: Final = {"low": (8, 20), "medium": (20, 60), "high": (60, 120)}
_REASONING_LENGTH: Final = {"minimal": 8, "low": 24, "medium": 64, "high": 192, "xhigh": 384, "max": 768}
# Models of other makers that think before they speak, told by their names.
_REASONERS: Final = ("deepseek-r", "qwq", "gpt-oss", "magistral", "think", "reason")
_TIERS_SERVED_AS: Final = {"auto": "default", "fast": "priority"}
_AUDIO_LIFE_S: Final = 3600
# A tenth of a second of silence: 8,000 samples a second of 16 bits, one channel.
_SILENCE: Final = bytes(1600)
_WAV_HEADER: Final = bytes.fromhex(
    "524946466406000057415645666d74201000000001000100401f0000803e0000020010006461746140060000"
)
_MODERATED: Final = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


def compose(request: Request, *, seed: int, created: int, fault: Fault = NO_FAULT, cache: CacheUse = NO_CACHE) -> Reply:
    """Compose the reply to a request.

    The fault may give it word for word, its length or its service tier; `cache` says what of the prompt was cached.
    Raises SchemaFault for a response format that no value fits.
    """
    key = identity(seed, request.digest)
    model = request.model or ""
    known = find_model(model)
    tier = request.get("service_tier") or "auto"
    choices = tuple(
        _choose(request, key + index.to_bytes(2, "big"), fault, created) for index in range(request.get("n") or 1)
    )
    accepted, rejected = _predicted(request, choices)
    return Reply(
        id=f"chatcmpl-{key.hex()[:29]}",
        created=created,
        model=model if known is None else known.snapshot,
        service_tier=fault.tier or _TIERS_SERVED_AS.get(tier, tier),
        system_fingerprint=f"fp_{hashlib.sha256(model.encode()).hexdigest()[:10]}",
        choices=choices,
        prompt_tokens=request.prompt_tokens,
        cached_tokens=cache.read,
        cache_write_tokens=cache.written if known is not None and known.writes_cache else None,
        prompt_audio_tokens=request.prompt_audio_tokens,
        accepted_prediction_tokens=accepted,
        rejected_prediction_tokens=rejected,
        top_logprobs=(request.get("top_logprobs") or 0) if request.get("logprobs") else None,
        moderation=_moderation(request),
        metadata=request.get("metadata"),
    )


def identity(seed: int, digest: bytes, attempt: int = 0) -> bytes:
    """Return 32 bytes that name this request under this seed, or one attempt at it."""
    return hashlib.sha256(f"{seed}/{attempt}/".encode() + digest).digest()


def _choose(request: Request, key: bytes, fault: Fault, created: int) -> Choice:
    if isinstance(fault.reply, str):
        return Choice(tokens=split_tokens(fault.reply), finish_reason="stop")
    if fault.reply is not None:
        return _recite(fault.reply, key)
    limit = request.max_tokens
    reasoning = _reason(request, key)[:limit]
    left = None if limit is None else limit - len(reasoning)
    calls = choose_calls(request, key)
    if calls is not None:
        return _call(calls, reasoning, left)
    tokens, finish_reason = _say(request, key, fault.tokens, left)
    return Choice(
        tokens=tokens,
        finish_reason=finish_reason,
        reasoning=reasoning,
        annotations=_citations(request, tokens),
        audio=_audio(request, key, tokens, created),
    )


def _recite(scripted: Scripted, key: bytes) -> Choice:
    calls = tuple(_scripted_call(call, key + turn.to_bytes(2, "big")) for turn, call in enumerate(scripted.tool_calls))
    return Choice(
        tokens=split_tokens(scripted.refusal if scripted.refusal is not None else scripted.content or ""),
        finish_reason=scripted.finish_reason or ("tool_calls" if calls else "stop"),
        refuses=scripted.refusal is not None,
        reasoning=split_tokens(scripted.reasoning or ""),
        tool_calls=calls,
    )


def _scripted_call(call: ScriptedCall, key: bytes) -> ToolCall:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
    return ToolCall(id=call.id or call_id(key), name=call.name, tokens=split_tokens(arguments))


def _reason(request: Request, key: bytes) -> list[str]:
    """Return the thoughts of a model that reasons, as long as its effort."""
    model = find_model(request.model or "")
    if model is None:
        reasons, default = any(word in (request.model or "").lower() for word in _REASONERS), "medium"
    else:
        reasons, default = model.reasons, model.effort
    wanted = _REASONING_LENGTH.get(request.get("reasoning_effort") or default, 0)
    if not reasons or not wanted:
        return []
    return split_tokens(prose(Dice(key + b"reasoning"), wanted))


def _call(calls: Calls, reasoning: list[str], left: int | None) -> Choice:
    """Make the calls, broken off where the tokens run out."""
    finish_reason, made = calls.finish_reason, []
    for call in calls.made:
        if left is None:
            made.append(call)
            continue
        if left <= 0:
            finish_reason = "length"
            break
        tokens = call.tokens[: left - 1]
        if len(tokens) < len(call.tokens):
            finish_reason = "length"
        made.append(ToolCall(id=call.id, kind=call.kind, name=call.name, tokens=tokens))
        left -= 1 + len(tokens)
    return Choice(
        tokens=[],
        finish_reason=finish_reason,
        reasoning=reasoning,
        tool_calls=tuple(made),
        legacy_call=calls.is_legacy,
    )


def _say(request: Request, key: bytes, length: int | None, left: int | None) -> tuple[list[str], str]:
    """Return the tokens of a text and why it ends."""
    dice = Dice(key)
    natural = dice.number(*_NATURAL_LENGTH[request.get("verbosity") or "medium"]) if length is None else length
    form = request.get("response_format") or {}
    wanted = form.get("type", "text")
    if wanted == "json_schema":
        text = json.dumps(sample((form.get("json_schema") or {}).get("schema") or {}, dice), ensure_ascii=False)
    else:
        text = prose(dice, natural) if wanted == "text" else json_object(dice, natural)
    tokens = split_tokens(text)
    if length is not None and wanted == "text":
        del tokens[length:]
    kept = tokens[:left]
    said = "".join(kept)
    end = _first_stop(said, request.get("stop"))
    if end is not None:
        return split_tokens(said[:end]), "stop"
    return kept, "length" if len(kept) < len(tokens) else "stop"


def _first_stop(text: str, stop: str | list[str] | None) -> int | None:
    """Return where the first stop sequence begins; an empty one stops nothing."""
    sequences = [stop] if isinstance(stop, str) else stop or []
    found = [text.find(sequence) for sequence in sequences if sequence]
    return min((at for at in found if at >= 0), default=None)


def _citations(request: Request, tokens: list[str]) -> tuple[dict[str, Any], ...]:
    """Return what a web search would cite: the first sentence, from a page that can't exist."""
    if request.get("web_search_options") is None or not tokens:
        return ()
    text = "".join(tokens)
    end = text.find(".") + 1 or len(text)
    page = {"url": "https://example.com/", "title": "Example Domain", "start_index": 0, "end_index": end}
    return ({"type": "url_citation", "url_citation": page},)


def _audio(request: Request, key: bytes, tokens: list[str], created: int) -> dict[str, Any] | None:
    """Return silence with the text as its transcript, when audio is wanted."""
    if "audio" not in (request.get("modalities") or ()):
        return None
    is_bare = (request.get("audio") or {}).get("format") == "pcm16"
    return {
        "id": f"audio_{Dice(key + b'audio').hexadecimal(24)}",
        "expires_at": created + _AUDIO_LIFE_S,
        "data": base64.b64encode(_SILENCE if is_bare else _WAV_HEADER + _SILENCE).decode(),
        "transcript": "".join(tokens),
    }


def _predicted(request: Request, choices: tuple[Choice, ...]) -> tuple[int, int]:
    """Return how many tokens of a prediction came true, and how many were thrown away."""
    content = (request.get("prediction") or {}).get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    if not content:
        return 0, 0
    predicted = split_tokens(content)
    said = choices[0].tokens
    accepted = next((at for at, (one, other) in enumerate(zip(predicted, said, strict=False)) if one != other), None)
    accepted = min(len(predicted), len(said)) if accepted is None else accepted
    return accepted, len(predicted) - accepted


def _moderation(request: Request) -> dict[str, Any] | None:
    """Return the results of a moderation that flags nothing."""
    wanted = request.get("moderation")
    if wanted is None:
        return None
    result = {
        "type": "moderation_result",
        "model": wanted.get("model"),
        "flagged": False,
        "categories": dict.fromkeys(_MODERATED, False),
        "category_scores": dict.fromkeys(_MODERATED, 0.0001),
        "category_applied_input_types": {category: ["text"] for category in _MODERATED},
    }
    results = {"type": "moderation_results", "model": wanted.get("model"), "results": [result]}
    return {"input": results, "output": results}
