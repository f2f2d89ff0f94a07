"""What barechat promises is there: every public name, importable, and no name besides."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import barechat
from barechat import guide

PROMISED = ["Client", "AsyncClient", "ChatSession", "CostTracker", "RetryPolicy", "Timeouts", "image", "audio", "file"]


def test_the_names_the_lazy_table_and_what_can_be_imported_are_the_same() -> None:
    in_table = [name for names in barechat._HOMES.values() for name in names]
    assert sorted(in_table) == sorted(barechat.__all__)
    assert len(set(in_table)) == len(in_table)
    for home, names in barechat._HOMES.items():
        module = importlib.import_module(home)
        for name in names:
            assert getattr(barechat, name) is getattr(module, name)
    assert set(barechat.__all__) <= set(dir(barechat))


def test_every_promised_name_is_there() -> None:
    assert set(PROMISED) <= set(barechat.__all__)


def test_every_error_of_the_tree_is_a_public_name() -> None:
    def tree(kind: type[BaseException]) -> set[str]:
        return {kind.__name__}.union(*map(tree, kind.__subclasses__()))

    everywhere = tree(barechat.BarechatError)
    assert {name for name in everywhere if hasattr(barechat.errors, name)} <= set(barechat.__all__)


def test_a_name_that_was_never_promised_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        barechat.Clint  # noqa: B018 - the lookup is the test


def test_a_star_import_brings_every_name() -> None:
    code = "from barechat import *; import barechat; assert set(barechat.__all__) <= set(globals())"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603 - our own code


@pytest.mark.parametrize("kind", [barechat.Client, barechat.AsyncClient])
def test_a_client_has_the_promised_verbs(kind: type) -> None:
    assert all(
        callable(getattr(kind, name)) for name in ("chat", "stream", "call", "parse", "run", "curl", "azure", "close")
    )
    assert isinstance(inspect.getattr_static(kind, "cost"), property)


def test_a_reply_has_the_promised_fields() -> None:
    fields = [
        "text",
        "message",
        "choices",
        "finish_reason",
        "usage",
        "cost",
        "model",
        "request_id",
        "rate_limits",
        "attempts",
        "raw",
        "verdict",
    ]
    assert all(hasattr(barechat.Reply, name) for name in fields)


def test_a_stream_has_the_promised_fields() -> None:
    for kind in (barechat.ChatStream, barechat.AsyncChatStream):
        assert all(hasattr(kind, name) for name in ("reply", "partial", "deltas", "close"))


def test_the_guide_s_seven_names_are_there_as_they_were_typed() -> None:
    signatures = {
        "call_openai": "(payload, max_retries=5)",
        "handle_response": "(response)",
        "robust_chat": "(messages, model='gpt-4o-mini', stream=False, cost_tracker=None, max_retries=3, **parameters)",
        "ChatSession": "(system_prompt, model='gpt-4o-mini', max_history=10)",
        "estimate_cost": "(model, prompt_tokens, completion_tokens)",
        "count_streamed_tokens": "(lines)",
    }
    for name, wanted in signatures.items():
        signature = inspect.signature(getattr(guide, name))
        bare = signature.replace(
            parameters=[p.replace(annotation=p.empty) for p in signature.parameters.values()],
            return_annotation=signature.empty,
        )
        assert str(bare) == wanted
    assert guide.CostTracker is barechat.CostTracker
    assert set(signatures) | {"CostTracker"} <= set(guide.__all__)


def test_public_things_say_what_they_are() -> None:
    for name in barechat.__all__:
        assert inspect.getdoc(getattr(barechat, name)), name
