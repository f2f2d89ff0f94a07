"""Both our clients read every dialect: its replies whole and streamed, and its errors by their class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from barechat import (
    ApiError,
    AsyncClient,
    AuthenticationFailed,
    BadRequest,
    BarechatError,
    Client,
    ContentFiltered,
    ContextTooLong,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
)
from barechat.simulator import Simulator
from barechat.simulator.dialects import DIALECTS
from barechat.simulator.errors import ERRORS
from support import ONCE, AsyncCaller, BlockingCaller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Caller, Connect

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
LONG = "word " * 3000


@pytest.fixture(scope="module", params=DIALECTS)
def speaking(request: pytest.FixtureRequest) -> Iterator[tuple[str, Simulator]]:
    with Simulator(dialect=request.param) as running:
        yield request.param, running


@pytest.mark.parametrize("parameters", [{}, {"n": 2}, {"tools": [TOOL]}, {"extra": {"moderation": {"model": "m"}}}])
def test_our_clients_read_every_dialect_whole_and_streamed(
    speaking: tuple[str, Simulator], connect: Connect, parameters: dict[str, Any]
) -> None:
    dialect, simulator = speaking
    caller = connect(simulator.url, retry=ONCE)
    whole = caller.chat(**parameters)
    with caller.stream(**parameters) as stream:
        said = "".join(stream)
    streamed = stream.reply
    assert said == whole.text
    assert [one.message.content or "" for one in streamed.choices] == [
        one.message.content or "" for one in whole.choices
    ]
    is_short = dialect == "llama.cpp" and "n" in parameters  # it gives one choice, whatever is asked
    assert whole.verdict == ("unknown" if is_short else "complete")
    assert streamed.verdict == ("unknown" if is_short or dialect == "ollama" else "complete")
    assert whole.usage is not None
    assert streamed.usage == (None if dialect == "llama.cpp" else whole.usage)


CLASSES: dict[str, type[BarechatError]] = {
    "unsupported_parameter": BadRequest,
    "context_length_exceeded": ContextTooLong,
    "content_filter": ContentFiltered,
    "invalid_api_key": AuthenticationFailed,
    "unsupported_country_region_territory": PermissionDenied,
    "model_not_found": NotFound,
    "rate_limit_exceeded": RateLimited,
    "insufficient_quota": QuotaExhausted,
    "server_error": ServerFailed,
    "server_is_overloaded": Overloaded,
}
# What a dialect's body doesn't tell, no client can know.
TELL_THE_CODE = {"openai", "groq", "llama.cpp", "azure"}


def seen(dialect: str, code: str) -> type[BarechatError]:
    if code == "insufficient_quota" and dialect not in TELL_THE_CODE:
        return RateLimited
    return BadRequest if code == "content_filter" and dialect not in TELL_THE_CODE else CLASSES[code]


def test_our_clients_know_every_dialect_s_errors(speaking: tuple[str, Simulator], connect: Connect) -> None:
    dialect, simulator = speaking
    caller = connect(simulator.url, retry=ONCE)
    for code in CLASSES:
        simulator.fail_next(refuse=code)
        with pytest.raises(BarechatError) as caught:
            caller.chat()
        assert type(caught.value) is seen(dialect, code), code
        assert caught.value.status == ERRORS[code].status


def failing(caller: Caller) -> list[Callable[[], object]]:
    def streamed() -> None:
        with caller.stream() as stream:
            list(stream)

    return [caller.chat, streamed]


def test_our_clients_know_every_dialect_s_errors_within_an_answer(
    speaking: tuple[str, Simulator], connect: Connect
) -> None:
    dialect, simulator = speaking
    for call in failing(connect(simulator.url, retry=ONCE)):
        simulator.fail_next(error_after=2)
        with pytest.raises(ApiError, match="The server had an error") as caught:
            call()
        assert type(caught.value) is (ApiError if dialect == "ollama" else ServerFailed)
        assert caught.value.status == 200


def test_our_clients_are_refused_for_a_bad_key_where_one_is_needed(
    speaking: tuple[str, Simulator], connect: Connect
) -> None:
    dialect, simulator = speaking
    for call in failing(connect(simulator.url, retry=ONCE, api_key="sk-bad-0123456789")):
        if DIALECTS[dialect].needs_key:
            with pytest.raises(AuthenticationFailed):
                call()
        else:
            call()


def test_a_long_prompt_to_llama_cpp_is_never_an_empty_answer(connect: Connect) -> None:
    with Simulator(dialect="llama.cpp") as simulator:
        caller = connect(simulator.url, retry=ONCE)
        with pytest.raises(ContextTooLong):
            caller.chat(LONG)
        with pytest.raises(StreamTruncated), caller.stream(LONG) as stream:
            list(stream)


@pytest.mark.parametrize("version", ["2024-10-21", None])
def test_our_clients_find_azure_at_both_its_urls(kind: str, version: str | None) -> None:
    with Simulator(dialect="azure") as simulator:
        where: dict[str, Any] = {
            "endpoint": simulator.url.removesuffix("/v1"),
            "deployment": "my gpt",
            "api_version": version,
            "api_key": "azure-key-0123",
            "retry": ONCE,
        }
        caller: Caller = (
            BlockingCaller(Client.azure(**where)) if kind == "blocking" else AsyncCaller(AsyncClient.azure(**where))
        )
        whole = caller.chat(model=None)
        with caller.stream(model=None) as stream:
            assert "".join(stream) == whole.text
        caller.close()
        assert (whole.model, whole.verdict, stream.reply.verdict) == ("my gpt", "complete", "complete")
        path = simulator.requests[0]["path"]
    assert path == (
        "/openai/v1/chat/completions"
        if version is None
        else "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    )
