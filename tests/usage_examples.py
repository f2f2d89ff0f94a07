"""Usages for the tests of money: built by hand, and drawn."""

from __future__ import annotations

from datetime import date

from hypothesis import strategies as st

from barechat.records import CompletionTokensDetails, PromptTokensDetails, Usage

TODAY = date(2026, 11, 26)


def usage(prompt: int, completion: int, *, total: int | None = None, **details: int) -> Usage:
    """Build a usage; `audio_in` and `audio_out` are the two sides' audio tokens."""
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=details.get("cached", 0),
            cache_write_tokens=details.get("written", 0),
            audio_tokens=details.get("audio_in", 0),
        ),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=details.get("reasoning", 0), audio_tokens=details.get("audio_out", 0)
        ),
    )


@st.composite
def usages(draw: st.DrawFn, limit: int = 400_000) -> Usage:
    prompt = draw(st.integers(0, limit))
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    completion = draw(st.integers(0, limit))
    return usage(prompt, completion, cached=cached, written=written, reasoning=draw(st.integers(0, completion)))
