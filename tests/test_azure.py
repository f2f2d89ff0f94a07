"""Azure: its two URLs, its key or token, and what its content filter says, through both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest

from barechat import (
    AsyncClient,
    AuthenticationFailed,
    BadRequest,
    Client,
    ConfigurationError,
    ContentFiltered,
    NotFound,
    ParameterError,
)
from barechat.simulator import Simulator
from support import DONE, KEY, MODEL, QUICK, USAGE, AsyncCaller, BlockingCaller, chunked, event, head, whole_body
from vectors import Case, case_id, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat import Reply
    from support import ByteServer, Caller

VERSION = "2024-10-21"
EITHER_URL = pytest.mark.parametrize("version", [VERSION, None], ids=["classic", "v1"])
EITHER_TOKEN = pytest.mark.parametrize(
    ("kind", "is_awaited"), [("blocking", False), ("asyncio", False), ("asyncio", True)]
)
EITHER_WAY = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
SAFE = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
WHOLE = whole_body()


class ConnectAzure(Protocol):
    def __call__(
        self, url: str, deployment: str | None = MODEL, version: str | None = VERSION, **options: Any
    ) -> Caller: ...


@pytest.fixture
def connect_azure(kind: str) -> Iterator[ConnectAzure]:
    """Make callers of an Azure endpoint; they are closed at the end."""
    made: list[Caller] = []

    def make(
        url: str, deployment: str | None = MODEL, version: str | None = VERSION, **options: Any
    ) -> BlockingCaller | AsyncCaller:
        options = {"retry": QUICK, **({} if "token" in options else {"api_key": KEY}), **options}
        at = url if url.endswith("/openai/v1") else url.removesuffix("/v1")
        caller: BlockingCaller | AsyncCaller
        if kind == "blocking":
            caller = BlockingCaller(Client.azure(at, deployment, version, **options))
        else:
            caller = AsyncCaller(AsyncClient.azure(at, deployment, version, **options))
        made.append(caller)
        return caller

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def azure() -> Iterator[Simulator]:
    with Simulator(dialect="azure") as running:
        yield running


def ask(caller: Caller, streamed: bool, **options: Any) -> Reply:
    options = {"model": None, **options}
    if not streamed:
        return caller.chat(**options)
    with caller.stream(**options) as stream:
        list(stream)
    return stream.reply


def answer_always(server: ByteServer) -> None:
    server.answer(head(f"Content-Length: {len(WHOLE)}") + WHOLE, closes=False)


# Where it goes


@pytest.mark.parametrize("case", [case for case in cases("azure_urls") if "expected_url" in case], ids=case_id)
def test_the_urls_that_others_build_reach_the_server_as_they_are(
    case: Case, connect_azure: ConnectAzure, byte_server: ByteServer
) -> None:
    answer_always(byte_server)
    expected = urlsplit(case["expected_url"])
    path = urlsplit(case.get("azure_endpoint", "https://resource/openai/v1")).path
    url = byte_server.url.removesuffix("/v1") + path
    connect_azure(url, None, case.get("api_version", "2024-02-01")).chat(model=case["model"])
    (request,) = byte_server.requests
    target = expected.path + (f"?{expected.query}" if expected.query else "")
    assert request.head.startswith(f"POST {target} HTTP/1.1\r\n")
    assert f"api-key: {KEY}\r\n" in request.head
    assert "authorization" not in request.head.lower()


@pytest.mark.parametrize("prefix", ["/team/ai", "/team/ai/", "/a%20b"])
@EITHER_URL
def test_an_api_management_endpoint_keeps_its_path(
    version: str | None, prefix: str, connect_azure: ConnectAzure, byte_server: ByteServer
) -> None:
    answer_always(byte_server)
    caller = connect_azure(byte_server.url.removesuffix("/v1") + prefix, "dep", version)
    caller.chat(model=None)
    place = "v1" if version is None else "deployments/dep"
    query = "" if version is None else f"?api-version={VERSION}"
    line = f"POST {prefix.rstrip('/')}/openai/{place}/chat/completions{query} HTTP/1.1\r\n"
    assert byte_server.requests[0].head.startswith(line)


@pytest.mark.parametrize("dots", [".", ".."])
def test_a_deployment_that_would_climb_the_path_is_refused_unsent(
    dots: str, connect_azure: ConnectAzure, byte_server: ByteServer
) -> None:
    for caller, model in ((connect_azure(byte_server.url, dots), None), (connect_azure(byte_server.url, None), dots)):
        for streamed in (False, True):
            with pytest.raises(ParameterError, match="path"):
                ask(caller, streamed, model=model)
    assert byte_server.connections == 0


def test_the_environment_names_the_endpoint_and_the_key(
    connect_azure: ConnectAzure, byte_server: ByteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_always(byte_server)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", byte_server.url.removesuffix("/v1"))
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key-of-the-environment")
    for given in ("", KEY):
        caller = connect_azure(byte_server.url, api_key=given or None)
        caller.client._endpoint = type(caller.client).azure(deployment="d", api_key=given or None)._endpoint
        caller.chat(model=None)
        assert f"api-key: {given or 'key-of-the-environment'}\r\n" in byte_server.requests[-1].head


# Who asks


@EITHER_URL
@EITHER_TOKEN
def test_a_token_is_asked_for_anew_with_each_attempt_and_goes_as_a_bearer(
    is_awaited: bool, version: str | None, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    tokens = iter(["token-number-01", "token-number-02", "token-number-03"])

    async def awaited_token() -> str:
        return next(tokens)

    caller = connect_azure(azure.url, version=version, token=awaited_token if is_awaited else lambda: next(tokens))
    azure.fail_next(status=503)
    ask(caller, streamed=False)
    ask(caller, streamed=True)
    assert [record["key"] for record in azure.requests] == ["tok***01", "tok***02", "tok***03"]
    for record in azure.requests:
        assert record["headers"]["authorization"].startswith("Bearer tok***")
        assert "api-key" not in record["headers"]


class NoTokenError(Exception):
    """What a token function raises when there is none to be had."""


@EITHER_WAY
@EITHER_TOKEN
def test_what_a_token_function_raises_ends_the_call_with_nothing_sent(
    is_awaited: bool, streamed: bool, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        raise NoTokenError("signed out")

    async def awaited_token() -> str:
        return token()

    caller = connect_azure(azure.url, token=awaited_token if is_awaited else token)
    with pytest.raises(NoTokenError, match="signed out"):
        ask(caller, streamed)
    assert (len(asked), azure.requests) == (1, [])
    assert caller.client.cost.call_count == 0


def test_a_second_attempt_s_token_that_fails_ends_the_call_too(connect_azure: ConnectAzure, azure: Simulator) -> None:
    tokens = ["token-number-01"]

    def token() -> str:
        if not tokens:
            raise NoTokenError("expired")
        return tokens.pop()

    azure.fail_next(status=503)
    with pytest.raises(NoTokenError, match="expired"):
        connect_azure(azure.url, token=token).chat(model=None)
    assert len(azure.requests) == 1


def test_a_key_and_a_token_are_one_too_many(connect_azure: ConnectAzure) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        connect_azure("https://r.openai.azure.com", api_key=KEY, token=lambda: "t")


@EITHER_URL
def test_a_wrong_key_and_a_wrong_deployment_are_told_in_azure_s_own_words(
    version: str | None, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    with pytest.raises(AuthenticationFailed) as unknown:
        connect_azure(azure.url, version=version, api_key="sk-bad-0123456789").chat(model=None)
    assert unknown.value.code == "401"
    with pytest.raises(NotFound) as absent:
        connect_azure(azure.url, "no-such", version).chat(model=None)
    assert absent.value.code == "DeploymentNotFound"


# What comes back


@EITHER_URL
@EITHER_WAY
def test_a_reply_brings_its_cost_and_the_filter_s_findings_of_the_prompt(
    streamed: bool, version: str | None, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    reply = ask(connect_azure(azure.url, version=version), streamed)
    assert reply.text
    assert (reply.verdict, reply.cost.certainty) == ("complete", "exact")
    assert reply.raw["prompt_filter_results"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    (request,) = azure.requests
    assert request["headers"]["api-key"] == "sk-***ef"
    assert "authorization" not in request["headers"]


def filtered_chunk(results: dict[str, Any] | None = None, finish: str | None = None, **delta: Any) -> bytes:
    results = SAFE if results is None else results
    return event(choices=[{"index": 0, "content_filter_results": results, "delta": delta, "finish_reason": finish}])


def test_a_whole_choice_keeps_the_filter_s_findings(connect_azure: ConnectAzure, azure: Simulator) -> None:
    reply = ask(connect_azure(azure.url), streamed=False)
    assert reply.raw["choices"][0]["content_filter_results"]["violence"] == {"filtered": False, "severity": "safe"}


def test_a_streamed_choice_keeps_the_filter_s_findings(connect_azure: ConnectAzure, byte_server: ByteServer) -> None:
    pieces = [filtered_chunk(content="It will "), filtered_chunk(content="rain."), filtered_chunk({}, "stop")]
    byte_server.answer(head("Transfer-Encoding: chunked", kind="text/event-stream"), *chunked([*pieces, USAGE, DONE]))
    reply = ask(connect_azure(byte_server.url), streamed=True)
    assert reply.text == "It will rain."
    assert reply.raw["choices"][0]["content_filter_results"] == SAFE


@EITHER_WAY
def test_a_prompt_that_the_filter_refuses_is_an_error_of_its_own_with_its_findings(
    streamed: bool, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    azure.fail_next(refuse="content_filter")
    caller = connect_azure(azure.url)
    with pytest.raises(ContentFiltered, match="content management policy") as caught:
        ask(caller, streamed)
    error = caught.value
    assert isinstance(error, BadRequest)
    assert (error.status, error.code, error.param) == (400, "content_filter", "prompt")
    assert b"ResponsibleAIPolicyViolation" in (error.body or b"")
    assert b'"hate":{"filtered":true,"severity":"high"}' in (error.body or b"")
    assert len(error.attempts) == len(azure.requests) == 1
    assert error.cost is not None
    assert error.cost.picodollars == 0


@EITHER_WAY
def test_an_answer_that_the_filter_cut_is_filtered_and_no_error(
    streamed: bool, connect_azure: ConnectAzure, azure: Simulator
) -> None:
    azure.fail_next(reply={"content": "I will", "finish_reason": "content_filter"})
    reply = ask(connect_azure(azure.url), streamed)
    assert (reply.text, reply.finish_reason, reply.verdict) == ("I will", "content_filter", "filtered")


def test_limits_come_as_plain_seconds_and_minus_one_is_unknown(
    connect_azure: ConnectAzure, byte_server: ByteServer
) -> None:
    lines = ("x-ratelimit-remaining-requests: 9", "x-ratelimit-reset-requests: 6", "x-ratelimit-remaining-tokens: -1")
    byte_server.answer(head(f"Content-Length: {len(WHOLE)}", *lines) + WHOLE, closes=False)
    limits = connect_azure(byte_server.url).chat(model=None).rate_limits
    assert (limits.remaining_requests, limits.reset_requests_s, limits.remaining_tokens) == (9, 6.0, None)
