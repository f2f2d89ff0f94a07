"""What a caller gets wrong is refused by its name before a byte is sent, in every method of both clients."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AsyncClient, Client, ConfigurationError, Message, ParameterError
from support import KEY, MODEL, ByteServer, Caller, Connect, whole_body

if TYPE_CHECKING:
    from collections.abc import Iterator

HI = {"role": "user", "content": "Hi"}
NAN, INF = float("nan"), float("inf")
HUGE = 10**5000
DEEP = 100_000


def nested() -> list[Any]:
    deep: list[Any] = []
    for _ in range(DEEP):
        deep = [deep]
    return deep


RING: dict[str, Any] = {}
RING["ring"] = RING
LIST_RING: list[Any] = [HI]
LIST_RING.append(LIST_RING)


OF_A_SENT_CALL = {"timeouts", "retry", "tags"}
OF_A_CALL = (*OF_A_SENT_CALL, "headers")  # what call() takes beside its payload


@dataclass
class Bad:
    """One mistake: the arguments that differ from a good call's, and the name that the error must give."""

    param: str
    arguments: dict[str, Any]
    is_checked_raw: bool = True  # also by call(payload), which leaves ranges to the server
    says: str = ""  # in its sentence, where the name isn't enough
    named: str = ""  # in its sentence, where it isn't the parameter

    @property
    def methods(self) -> Iterator[str]:
        yield from ("chat", "stream")
        if not OF_A_SENT_CALL & self.arguments.keys():  # a command has none
            yield "curl"
        if self.is_checked_raw:
            yield "call"


def message(**changes: Any) -> dict[str, Any]:
    """Return arguments whose second message is at fault."""
    return {"messages": [HI, {**HI, **changes}]}


def typed(param: str, **arguments: Any) -> Bad:
    """Return a mistake that only the checked methods look for."""
    return Bad(param, arguments, is_checked_raw=False)


BAD: dict[str, Bad] = {
    # Messages.
    "no message": Bad("messages", {"messages": []}),
    "messages: None": Bad("messages", {"messages": None}),
    "messages: int": Bad("messages", {"messages": 5}),
    "messages: bytes": Bad("messages", {"messages": b"Hi"}),
    "messages: a set": Bad("messages", {"messages": {1}}),
    "messages: one dict": Bad("messages", {"messages": HI}),
    "messages: a generator": Bad("messages", {"messages": (each for each in [HI])}),
    "messages: an iterator": Bad("messages", {"messages": iter([HI])}),
    "messages: a map": Bad("messages", {"messages": map(dict, [HI])}),
    "a message: str": typed("messages[1]", messages=[HI, "Hi"]),
    "a message: None": typed("messages[1]", messages=[HI, None]),
    "a message: list": typed("messages[1]", messages=[HI, [HI]]),
    "a message: bytes": Bad("messages[1]", {"messages": [HI, b"Hi"]}),
    "a message: object": Bad("messages[1]", {"messages": [HI, object()]}),
    "no role": typed("messages[1].role", messages=[HI, {"content": "Hi"}]),
    "role: None": typed("messages[1].role", **message(role=None)),
    "role: empty": typed("messages[1].role", **message(role="")),
    "role: int": typed("messages[1].role", **message(role=5)),
    "content: int": typed("messages[1].content", **message(content=5)),
    "content: bool": typed("messages[1].content", **message(content=True)),
    "content: dict": typed("messages[1].content", **message(content={"type": "text"})),
    "content: bytes": Bad("messages[1].content", message(content=b"Hi")),
    "content: bytearray": Bad("messages[1].content", message(content=bytearray(b"Hi"))),
    "content: memoryview": Bad("messages[1].content", message(content=memoryview(b"Hi"))),
    "content: set": Bad("messages[1].content", message(content={"Hi"})),
    "content: generator": Bad("messages[1].content", message(content=(each for each in "Hi"))),
    "content: half an emoji": Bad("messages[1].content", message(content="Hi \ud83d"), says="surrogate"),
    "content: a file read with surrogateescape": Bad("messages[1].content", message(content="\udce9t\udce9")),
    "a string of half an emoji": typed("messages[0].content", messages="Hi \ud83d"),
    "a part: int": typed("messages[1].content[1]", **message(content=["Hi", 5])),
    "a part's half emoji": typed("messages[1].content[0].text", **message(content=["\ud83d"])),
    "a part: None": typed("messages[1].content[0]", **message(content=[None])),
    "a part: bytes": Bad("messages[1].content[0]", message(content=[b"Hi"])),
    "a part's bytes": Bad("messages[1].content[0].image_url.url", message(content=[{"image_url": {"url": b"x"}}])),
    "a Message's half emoji": Bad("messages[0].content", {"messages": [Message(role="user", content="\ud83d")]}),
    "a Message without a role": typed("messages[0].role", messages=[Message(role="", content="Hi")]),
    "a Message's calls: dicts": Bad("messages[0]", {"messages": [Message(tool_calls=({"id": "1"},))]}),  # type: ignore[arg-type]
    "a Message's calls: int": Bad("messages[0]", {"messages": [Message(tool_calls=5)]}),  # type: ignore[arg-type]
    "a Message's function: dict": Bad("messages[0]", {"messages": [Message(function_call={"name": "f"})]}),  # type: ignore[arg-type]
    "a Message's content: bytes": Bad("messages[0].content", {"messages": [Message(content=b"x")]}),  # type: ignore[arg-type]
    "a message's NaN": Bad("messages[1].weight", message(weight=NAN), says="nan"),
    "a message's inf": Bad("messages[1].weight", message(weight=-INF), says="inf"),
    "a message's Decimal": Bad("messages[1].weight", message(weight=Decimal(1)), says="Decimal"),
    "a message's huge int": Bad("messages[1].weight", message(weight=HUGE), says="64 bits"),
    "a message's lambda": Bad("messages[1].f", message(f=lambda: None), says="function"),
    "a message's class": Bad("messages[1].f", message(f=dict), says="type"),
    "a key: None": Bad("messages[1]", {"messages": [HI, {**HI, None: 1}]}, says="None"),
    "a key: a tuple": Bad("messages[1]", {"messages": [HI, {**HI, ("a",): 1}]}),
    "a key: bool": Bad("messages[1]", {"messages": [HI, {**HI, True: 1}]}),
    "a key: float": Bad("messages[1]", {"messages": [HI, {**HI, NAN: 1}]}),
    "a key: huge int": Bad("messages[1]", {"messages": [HI, {**HI, HUGE: 1}]}),
    "a key: half an emoji": Bad("messages[1]", {"messages": [HI, {**HI, "\ud83d": 1}]}),
    "a ring of dicts": Bad("messages[1]", message(x=RING), says="holds itself"),
    "a ring of lists": Bad("messages[1]", {"messages": LIST_RING}),
    "a content that holds itself": Bad("messages[0].content", {"messages": [{**HI, "content": LIST_RING}]}),
    "too deep": Bad("messages[1].x", message(x=nested()), says="too deeply"),
    # The model.
    "no model": Bad("model", {"model": None}),
    "model: empty": Bad("model", {"model": ""}),
    "model: int": Bad("model", {"model": 5}),
    "model: bool": Bad("model", {"model": True}),
    "model: huge int": Bad("model", {"model": HUGE}),
    "model: bytes": Bad("model", {"model": b"gpt"}),
    "model: list": Bad("model", {"model": [MODEL]}),
    "model: too deep": Bad("model", {"model": nested()}),
    "model: half an emoji": Bad("model", {"model": "\ud83d"}),
    # Parameters: what JSON can't carry, then what the API refuses.
    "temperature: NaN": Bad("temperature", {"temperature": NAN}),
    "temperature: inf": Bad("temperature", {"temperature": INF}),
    "temperature: Decimal": Bad("temperature", {"temperature": Decimal("0.5")}),
    "temperature: complex": Bad("temperature", {"temperature": 1j}),
    "temperature: out of range": typed("temperature", temperature=2.0001),
    "temperature: bool": typed("temperature", temperature=True),
    "temperature: str": typed("temperature", temperature="1"),
    "temperature: huge": Bad("temperature", {"temperature": HUGE}),
    "top_p: below 0": typed("top_p", top_p=-0.1),
    "n: 0": typed("n", n=0),
    "n: 129": typed("n", n=129),
    "n: bool": typed("n", n=True),
    "n: float": typed("n", n=1.0),
    "n: huge": Bad("n", {"n": HUGE}),
    "seed: past 64 bits": Bad("seed", {"seed": 2**64}),
    "max_tokens: 0": typed("max_tokens", max_tokens=0),
    "max_completion_tokens: str": typed("max_completion_tokens", max_completion_tokens="5"),
    "both limits": typed("max_tokens", max_tokens=5, max_completion_tokens=5),
    "logprobs: int": typed("logprobs", logprobs=1),
    "top_logprobs: 21": typed("top_logprobs", logprobs=True, top_logprobs=21),
    "top_logprobs alone": typed("top_logprobs", top_logprobs=2),
    "stop: five": typed("stop", stop=["a"] * 5),
    "stop: bytes": Bad("stop", {"stop": b"a"}),
    "stop: a set": Bad("stop", {"stop": {"a"}}),
    "stop: half an emoji": Bad("stop[1]", {"stop": ["a", "\ud83d"]}),
    "stop: a generator": Bad("stop", {"stop": (each for each in "ab")}),
    "tools: dict": typed("tools", tools={"type": "function"}),
    "tools: str": typed("tools", tools="f"),
    "tools: empty": typed("tools", tools=[]),
    "tools: strings": typed("tools", tools=["f"]),
    "tools: a function": Bad("tools", {"tools": [len]}),
    "tools: a set in a schema": Bad(
        "tools[0].function.parameters.required",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"required": {"a"}}}}]},
    ),
    "tools: a ring in a schema": Bad("tools[0].function", {"tools": [{"type": "function", "function": RING}]}),
    "tool_choice: list": typed("tool_choice", tool_choice=["auto"]),
    "logit_bias: list": typed("logit_bias", logit_bias=[1]),
    "logit_bias: NaN": Bad("logit_bias", {"logit_bias": {"1": NAN}}),
    "logit_bias: out of range": typed("logit_bias", logit_bias={"1": 101}),
    "metadata: int": typed("metadata", metadata={"a": 1}),
    "metadata: bytes": Bad("metadata", {"metadata": {"a": b"x"}}),
    "modalities: a word": typed("modalities", modalities="text"),
    "reasoning_effort: no such": typed("reasoning_effort", reasoning_effort="extreme"),
    "service_tier: no such": typed("service_tier", service_tier="cheap"),
    "verbosity: int": typed("verbosity", verbosity=1),
    "response_format: no such": typed("response_format", response_format="xml"),
    "response_format: a type": Bad("response_format", {"response_format": dict}),
    "response_format: JSON unsaid": Bad("messages", {"response_format": "json"}, is_checked_raw=False, named="JSON"),
    "stream_options: list": typed("stream_options", stream_options=[]),
    "stream_options: no bool": typed("stream_options", stream_options={"include_usage": 1}),
    "user: bytes": Bad("user", {"user": b"x"}),
    "store: int": typed("store", store=1),
    "an unknown name": typed("temprature", temprature=1),
    # extra, headers, and what the client itself needs.
    "extra: list": typed("extra", extra=[1]),
    "extra: str": typed("extra", extra="x"),
    "extra: pairs": typed("extra", extra=[("x", 1)]),
    "extra: NaN": typed("x", extra={"x": NAN}),
    "extra: bytes": typed("x.y[0]", extra={"x": {"y": [b""]}}),
    "extra: a key that is no str": typed("the request", extra={None: 1}),
    "headers: list": Bad("headers", {"headers": [("X-A", "b")]}),
    "headers: str": Bad("headers", {"headers": "X-A: b"}),
    "a header's name: int": Bad("headers", {"headers": {5: "b"}}),
    "a header's name: bytes": Bad("headers", {"headers": {b"X-A": "b"}}),
    "a header's name: a line break": Bad("headers", {"headers": {"X-A\r\nX-B": "b"}}),
    "a header's name: its last character a line break": Bad("headers", {"headers": {"X-A\n": "b"}}),
    "a header's name: a colon": Bad("headers", {"headers": {"X-A:": "b"}}),
    "a header's name: empty": Bad("headers", {"headers": {"": "b"}}),
    "a header's value: a line break": Bad("headers", {"headers": {"X-A": "b\r\nX-B: c"}}),
    "a header's value: a line feed at its end": Bad("headers", {"headers": {"X-A": "b\n"}}),
    "a header's value: NUL": Bad("headers", {"headers": {"X-A": "b\0"}}),
    "a header's value: not latin-1": Bad("headers", {"headers": {"X-A": "\u20ac"}}),
    "a header's value: a control character of latin-1": Bad("headers", {"headers": {"X-A": "\x85"}}),
    "a header's value: int": Bad("headers", {"headers": {"X-A": 5}}),
    "a header's value: bytes": Bad("headers", {"headers": {"X-A": b"b"}}),
    "a header's value: None": Bad("headers", {"headers": {"X-A": None}}),
    "a header that is ours": Bad("headers", {"headers": {"content-length": "5"}}),
    "timeouts: int": Bad("timeouts", {"timeouts": 5}),
    "timeouts: dict": Bad("timeouts", {"timeouts": {"total_s": 5}}),
    "retry: int": Bad("retry", {"retry": 5}),
    "retry: bool": Bad("retry", {"retry": False}),
    "tags: list": Bad("tags", {"tags": ["a"]}),
    "tags: str": Bad("tags", {"tags": "a"}),
}


@contextlib.contextmanager
def refused() -> Iterator[pytest.ExceptionInfo[ParameterError]]:
    with pytest.raises(ParameterError) as caught:
        yield caught


def attempt(caller: Caller, method: str, arguments: dict[str, Any]) -> None:
    """Make the call by one of the client's methods; a stream is read to its end."""
    given: dict[str, Any] = {"messages": [HI], "model": MODEL, **arguments}
    if method == "call":
        options = {name: given.pop(name) for name in OF_A_CALL if name in given}
        caller.call(given, **options)
    elif method == "curl":
        caller.client.curl(given.pop("messages"), **given)
    elif method == "chat":
        caller.chat(given.pop("messages"), **given)
    else:
        with caller.stream(given.pop("messages"), **given) as stream:
            list(stream)


@pytest.fixture
def listening(connect: Connect, byte_server: ByteServer) -> Iterator[Caller]:
    """Return a caller of a server that is not to hear of anything."""
    byte_server.answer(whole_body())
    yield connect(byte_server.url)
    assert byte_server.connections == 0


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_refused_by_its_name_before_a_byte_is_sent(name: str, listening: Caller) -> None:
    bad = BAD[name]
    for method in bad.methods:
        with refused() as caught:
            attempt(listening, method, bad.arguments)
        error = caught.value
        assert (error.param or "the request").startswith(bad.param)
        assert (bad.named or bad.param) in str(error)
        assert bad.says in str(error)
        assert len(str(error)) < 500
        assert (error.status, error.attempts, error.cost) == (None, (), None)


def test_a_payload_that_is_no_dict_is_refused(listening: Caller) -> None:
    for payload in (None, [], "x", b"{}", 5, [("model", MODEL)]):
        with refused() as caught:
            listening.call(payload)
        assert caught.value.param == "payload"


@pytest.mark.parametrize(
    ("method", "given", "named"),
    [
        ("chat", [], {}),
        ("chat", [[HI], MODEL], {}),
        ("stream", [], {}),
        ("curl", [], {}),
        ("curl", [[HI]], {"timeouts": 5, "model": MODEL}),
        ("call", [], {}),
        ("call", [{"model": MODEL}], {"extra": {}}),
    ],
)
def test_a_wrong_signature_is_refused_unsent(
    method: str, given: list[Any], named: dict[str, Any], listening: Caller
) -> None:
    with pytest.raises((TypeError, ParameterError)):
        getattr(listening.client, method)(*given, **named)


def test_what_is_good_is_sent_as_it_was_given(connect: Connect, byte_server: ByteServer) -> None:
    """The table's arguments without a mistake do reach the server: its refusals are the mistakes' own."""
    byte_server.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", whole_body())
    caller = connect(byte_server.url)
    for method in ("chat", "stream", "call"):
        attempt(caller, method, {"headers": {"X-A": "caf\xe9"}, "messages": [HI, Message(role="user", content="😀")]})
    attempt(caller, "curl", {})
    assert [got.json["messages"][1]["content"] for got in byte_server.requests] == ["😀"] * 3


# The client itself.

BAD_CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "key: a line break": ("API key", {"api_key": KEY + "\n"}),
    "key: a line break within": ("API key", {"api_key": "sk\r\nX-Evil: 1"}),
    "key: not latin-1": ("API key", {"api_key": "sk-\u20ac"}),
    "key: latin-1": ("API key", {"api_key": "sk-\xe9"}),
    "key: a surrogate": ("API key", {"api_key": "sk-\ud83d"}),
    "key: a space": ("API key", {"api_key": " "}),
    "key: bytes": ("api_key", {"api_key": KEY.encode()}),
    "key: int": ("api_key", {"api_key": 5}),
    "URL: empty": ("base_url", {"base_url": ""}),
    "URL: no scheme": ("base_url", {"base_url": "api.example.com/v1"}),
    "URL: a host and port": ("base_url", {"base_url": "localhost:8080"}),
    "URL: another scheme": ("base_url", {"base_url": "ftp://127.0.0.1/v1"}),
    "URL: no host": ("base_url", {"base_url": "https:///v1"}),
    "URL: a user": ("base_url", {"base_url": "https://me:secret@127.0.0.1/v1"}),
    "URL: a query": ("base_url", {"base_url": "https://127.0.0.1/v1?key=secret"}),
    "URL: a fragment": ("base_url", {"base_url": "https://127.0.0.1/v1#secret"}),
    "URL: a line break": ("base_url", {"base_url": "https://127.0.0.1/v1\r\nX: y"}),
    "URL: a port out of range": ("base_url", {"base_url": "https://127.0.0.1:70000/v1"}),
    "URL: a surrogate": ("base_url", {"base_url": "https://127.0.0.1/\ud83d"}),
    "URL: bytes": ("base_url", {"base_url": b"https://127.0.0.1"}),
    "URL: the key": ("base_url", {"base_url": KEY}),
    "headers: list": ("headers", {"headers": [("X-A", "b")]}),
    "headers: a line break": ("headers", {"headers": {"X-A": "b\nX-B: c"}}),
    "headers: a name of none": ("headers", {"headers": {"X A": "b"}}),
    "headers: str": ("headers", {"headers": "X-A: b"}),
    "timeouts: int": ("timeouts", {"timeouts": 5}),
    "retry: int": ("retry", {"retry": 5}),
    "retry: bool": ("retry", {"retry": False}),
    "caps: int": ("caps", {"caps": 5}),
    "tags: list": ("tags", {"tags": ["a"]}),
    "prices: str": ("prices", {"prices": "prices.json"}),
    "price_as: str": ("price_as", {"price_as": "gpt-4o"}),
    "trace: str": ("trace", {"trace": "trace.txt"}),
    "organization: int": ("OpenAI-Organization", {"organization": 5}),
    "organization: a line break": ("OpenAI-Organization", {"organization": "org\nX-B: c"}),
    "project: a line break": ("OpenAI-Project", {"project": "proj\nX-B: c"}),
}


@pytest.mark.parametrize("name", BAD_CLIENTS)
def test_a_client_that_could_not_send_is_not_made_and_what_it_was_given_is_not_shown(kind: str, name: str) -> None:
    named, options = BAD_CLIENTS[name]
    make = Client if kind == "blocking" else AsyncClient
    with pytest.raises((ConfigurationError, ParameterError)) as caught:
        make(**{"api_key": KEY, "base_url": "http://127.0.0.1:9/v1", **options})
    assert named in str(caught.value)
    for secret in (KEY, "secret", "X-Evil", "X-B: c"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("endpoint", {"endpoint": "me.openai.azure.com"}),
        ("endpoint", {"endpoint": "https://me:secret@me.openai.azure.com"}),
        ("endpoint", {"endpoint": "https://me.openai.azure.com?key=secret"}),
        ("endpoint", {"endpoint": 5}),
        ("endpoint", {"endpoint": ""}),
        ("API key", {"api_key": KEY + "\n"}),
        ("API key", {"api_key": None}),
        ("api_key", {"api_key": 5}),
        ("token", {"token": lambda: "t"}),
        ("token", {"api_key": None, "token": 5}),
        ("deployment", {"deployment": 5}),
        ("deployment", {"deployment": "a\nb"}),
        ("api_version", {"api_version": "a\r\nX-Evil: 1"}),
        ("headers", {"headers": {"X-A": "b\nX-B: c"}}),
    ],
)
def test_a_client_of_azure_that_could_not_send_is_not_made(kind: str, named: str, options: dict[str, Any]) -> None:
    make = Client if kind == "blocking" else AsyncClient
    with pytest.raises((ConfigurationError, ParameterError), match=named) as caught:
        make.azure(**{"endpoint": "https://me.openai.azure.com", "deployment": "d", "api_key": KEY, **options})
    for secret in (KEY, "secret", "X-B: c"):
        assert secret not in str(caught.value)
