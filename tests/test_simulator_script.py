"""The simulator's replies: deterministic, alike whole and streamed, within limits, and to the official description."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barechat.simulator.fault import Fault
from barechat.simulator.request import find_key, is_chat_path, read_request
from barechat.simulator.script import compose
from simulating import CHUNK_SCHEMA, HELLO, REPLY_SCHEMA, body, chunks, fold, parts, reply, request


def test_the_same_request_and_seed_give_the_same_bytes() -> None:
    assert body(reply(temperature=1)) == body(reply(temperature=1))
    assert parts(reply()) == parts(reply())


def test_another_seed_or_another_parameter_gives_another_reply() -> None:
    texts = {body(one)["choices"][0]["message"]["content"] for one in (reply(), reply(seed=1), reply(seed_=1))}
    assert len(texts) == 3


def test_the_order_of_the_keys_and_the_way_of_delivery_do_not_change_the_reply() -> None:
    forwards = read_request(json.dumps({**HELLO, "n": 2, "stream": True}).encode(), "/")
    backwards = read_request(json.dumps({"n": 2, **HELLO, "stream_options": {"include_usage": True}}).encode(), "/")
    assert forwards.digest == backwards.digest


formats = st.sampled_from([None, {"type": "text"}, {"type": "json_object"}])
requests = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(1, 4),
        "max_completion_tokens": st.integers(1, 80),
        "stop": st.sampled_from([None, ".", " the", ["zebra", " of", "a"], [""], "T"]),
        "response_format": formats,
        "service_tier": st.sampled_from([None, "auto", "default", "flex", "priority", "fast"]),
        "model": st.sampled_from(["gpt-4o", "gpt-4.1-nano", "gpt-5", "ft:gpt-4o:acme::1", "mistral/tiny"]),
        "seed": st.integers(-5, 5),
    },
)


@settings(max_examples=75, deadline=None, derandomize=True)
@given(requests, st.sampled_from([None, "", "héllo \u2028 wörld", "  你好,世界!这是一个很长的句子 \U0001f600\n"]))
def test_every_reply_and_chunk_validates_and_the_streamed_text_is_the_whole_one(
    parameters: dict[str, Any], scripted: str | None
) -> None:
    answer = compose(request(**parameters), seed=3, created=1_700_000_000, fault=Fault(reply=scripted))
    full = body(answer)
    REPLY_SCHEMA.validate(full)
    for chunk in chunks(answer, include_usage=True):
        CHUNK_SCHEMA.validate(chunk)
    texts = {choice["index"]: choice["message"]["content"] for choice in full["choices"]}
    assert {index: said["content"] for index, said in fold(answer).items()} == texts
    if scripted is not None:
        assert set(texts.values()) == {scripted}


def test_a_reply_reads_as_sentences_of_a_natural_length() -> None:
    for seed in range(50):
        answer = reply(seed=seed)
        text = body(answer)["choices"][0]["message"]["content"]
        assert text.isascii()
        assert text[0].isupper()
        assert text.endswith(".")
        assert 20 <= answer.completion_tokens <= 80


def test_choices_differ_and_interleave() -> None:
    answer = reply(n=3)
    texts = [choice["message"]["content"] for choice in body(answer)["choices"]]
    assert len(set(texts)) == 3
    order = [chunk["choices"][0]["index"] for chunk in chunks(answer)]
    assert order[:9] == [0, 1, 2] * 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_and_says_length(name: str) -> None:
    free = body(reply())["choices"][0]["message"]["content"]
    limits: list[dict[str, Any]] = [{name: 5}, {name: 500}]
    cut, uncut = (reply(**limit) for limit in limits)
    choice = body(cut)["choices"][0]
    assert choice["finish_reason"] == "length"
    assert body(cut)["usage"]["completion_tokens"] == 5
    assert len(choice["message"]["content"].split()) == 5
    assert body(uncut)["choices"][0]["finish_reason"] == "stop"
    assert free != choice["message"]["content"]  # the limit is a part of the request, so of the key too


def test_a_stop_sequence_ends_the_text_before_it() -> None:
    for stop in (".", ["zebra", "."]):
        answer = reply(stop=stop)
        choice = body(answer)["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert "." not in choice["message"]["content"]
        assert choice["message"]["content"]


def test_a_stop_sequence_past_the_token_limit_is_not_reached() -> None:
    assert body(reply(stop=".", max_tokens=2))["choices"][0]["finish_reason"] == "length"


def test_json_mode_answers_a_json_object() -> None:
    answer = reply(response_format={"type": "json_object"})
    assert isinstance(json.loads(body(answer)["choices"][0]["message"]["content"]), dict)


def test_a_length_is_kept_exactly() -> None:
    answer = reply(fault=Fault(tokens=1234))
    assert answer.completion_tokens == 1234
    assert answer.choices[0].finish_reason == "stop"


def test_a_stream_opens_with_the_role_and_ends_with_reason_usage_and_done() -> None:
    assert parts(reply(), include_usage=True)[-1] == b"data: [DONE]\n\n"
    first, *_, reason, usage = chunks(reply(), include_usage=True)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert reason["choices"][0]["finish_reason"] == "stop"
    assert reason["choices"][0]["delta"] == {}
    assert usage["choices"] == []
    assert usage["usage"] == body(reply())["usage"]
    assert all(chunk["usage"] is None for chunk in chunks(reply(), include_usage=True)[:-1])
    assert not any("usage" in chunk for chunk in chunks(reply()))


def test_what_is_to_be_omitted_is_left_out() -> None:
    everything = len(parts(reply(), include_usage=True))
    for omitted in ("done", "usage", "finish_reason"):
        assert len(parts(reply(), include_usage=True, omit=[omitted])) == everything - 1
    bare = body(reply(), omit=["usage", "finish_reason"])
    assert "usage" not in bare
    assert bare["choices"][0]["finish_reason"] is None


def test_usage_counts_the_words_of_every_message() -> None:
    parts = [{"type": "text", "text": "two words"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [{"role": "system", "content": "one two three"}, {"role": "user", "content": parts}]
    usage = body(reply(messages=messages))["usage"]
    assert usage["prompt_tokens"] == 3 + (3 + 3) + (3 + 2) + 765
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("llama3", "llama3"),
    ],
)
def test_bare_names_are_served_by_a_dated_snapshot(asked: str, served: str) -> None:
    assert body(reply(model=asked))["model"] == served


@pytest.mark.parametrize(
    ("asked", "served"), [(None, "default"), ("auto", "default"), ("flex", "flex"), ("fast", "priority")]
)
def test_the_tier_served_is_named(asked: str | None, served: str) -> None:
    assert body(reply(service_tier=asked))["service_tier"] == served


@pytest.mark.parametrize(
    ("path", "is_chat", "model"),
    [
        ("/v1/chat/completions", True, None),
        ("/chat/completions", True, None),
        ("/openai/v1/chat/completions", True, None),
        ("/openai/deployments/my%2Fgpt/chat/completions", True, "my/gpt"),
        ("/gateway/openai/deployments/gpt/chat/completions", True, "gpt"),
        ("/openai/deployments/a/b/chat/completions", True, None),
        ("/v1/completions", False, None),
        ("/v1/chat/completions/", False, None),
    ],
)
def test_any_prefix_is_taken_and_an_azure_deployment_names_the_model(
    path: str, is_chat: bool, model: str | None
) -> None:
    assert is_chat_path(path) is is_chat
    assert read_request(b'{"messages": []}', path).model == model
    assert read_request(b'{"model": "own"}', path).model == "own"


@pytest.mark.parametrize(
    ("authorization", "api_key", "key"),
    [
        ("Bearer abc", None, "abc"),
        ("bearer  abc ", None, "abc"),
        (None, "xyz", "xyz"),
        ("Basic abc", None, None),
        ("Bearer ", None, None),
        (None, None, None),
        ("", "", None),
    ],
)
def test_the_key_is_found_in_either_header(authorization: str | None, api_key: str | None, key: str | None) -> None:
    assert find_key(authorization, api_key) == key
