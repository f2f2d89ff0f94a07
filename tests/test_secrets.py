"""The key, and whatever else authenticates a request, is in nothing that barechat shows, whoever echoes it.

One search runs over the whole suite (`leaks.py`); here are the search itself, and the objects that it can't see into.
A traceback that shows locals (`capture_locals=True`) shows the caller's own variables too, and is out of our hands.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import traceback
import warnings
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from barechat import BarechatError, Client, ConnectionFailed, RetryPolicy, Timeouts
from barechat.wire.secret import redact, secrets_of, without
from leaks import forms_of, tells_key
from support import DONE, KEY, MODEL, ONCE, QUICK, AwaitedStream, ByteServer, chunked, event, head, piece, whole_body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.simulator import Simulator
    from barechat.wire.trace import TraceEvent
    from support import Caller, Connect

ECHO = f"Incorrect key {KEY}, in {{'Authorization': 'Bearer {KEY}'}}"
STREAM_HEAD = head("Transfer-Encoding: chunked", kind="text/event-stream")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that stands behind it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            left += [found.__cause__, found.__context__]


def all_of(error: BaseException) -> str:
    """Return all that an error, its causes and its facts show; the model's own words in `partial` are the caller's."""
    shown = ["".join(traceback.format_exception(error))]
    for found in chain_of(error):
        facts = {name: value for name, value in vars(found).items() if name != "partial"}
        shown += [str(found), repr(found), repr(found.args), repr(facts), str(pickle.dumps(facts.get("attempts")))]
    return "".join(shown)


# The search


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
def test_the_search_knows_the_key_in_every_obvious_spelling(before: str) -> None:
    text = f"{before}{KEY}&more"
    spelt = [
        text.encode(),
        pickle.dumps({"key": text}),
        b64encode(text.encode()),
        "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
        "".join(f"\\u{byte:04x}" for byte in text.encode()).encode(),
        text.encode("utf-16"),
        text.encode().hex().encode(),
    ]
    for data in spelt:
        assert tells_key(b"x" + data + b"x") or tells_key(data)
    assert tells_key(text)
    assert not tells_key(f"{before}{KEY[:-1]}")
    assert all(len(form) > 20 for form in forms_of(KEY))


LEAKY = """
import base64, logging, sys
import pytest
from support import KEY

def test_nothing(tmp_path): (tmp_path / "a").write_text("***")
def test_output(): print("the key is", KEY)
def test_error_output(): print(base64.b64encode(KEY.encode()), file=sys.stderr)
def test_log(): logging.getLogger("barechat").warning("sent %s", KEY)
def test_file(tmp_path): (tmp_path / "a").mkdir(); (tmp_path / "a" / "b").write_text(KEY)
def test_command():
    import leaks
    leaks.heard.append(KEY.encode())
def test_nothing_again(): pass
"""


def test_a_test_that_leaves_the_key_anywhere_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pytest", "-q", "-p", "leaks", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # noqa: PTH120 - a string for the environment
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    failed = [
        line.partition("::")[2].partition(" ")[0] for line in done.stdout.splitlines() if line.startswith("ERROR")
    ]
    assert failed == ["test_output", "test_error_output", "test_log", "test_file", "test_command"], done.stdout
    assert "7 passed, 5 errors" in done.stdout


# What holds the key


def test_no_object_of_a_call_shows_the_key_or_hands_it_on(caller: Caller, simulator: Simulator) -> None:
    client = caller.client
    told: list[TraceEvent] = []
    client._trace = told.append
    simulator.fail_next(status=503, body=ECHO)
    reply = caller.chat()
    stream = caller.stream()
    next(iter(stream))
    raw_stream = stream._stream if isinstance(stream, AwaitedStream) else stream
    request = client._request("Hi", MODEL, {}, None, {"X-Api-Key": "another-secret"}, streamed=False)
    holders = [client, client._endpoint, raw_stream, raw_stream._drive, raw_stream._drive.receipt.call]
    tellers = [request, reply, stream.partial, *reply.attempts, client.cost, client.timeouts, client.retry, told]
    for found in [*holders, *tellers]:
        assert not tells_key(f"{found} {found!r}")
        assert "another-secret" not in f"{found} {found!r}"
        if found is not client._endpoint:  # that one has it, as its attribute
            assert not tells_key(repr(getattr(found, "__dict__", None)))
    for found in holders:
        with pytest.raises(TypeError) as refusal:
            pickle.dumps(found)
        assert not tells_key(all_of(refusal.value))
    for hand_on in (copy.copy, copy.deepcopy):
        for found in (client, client._endpoint):
            with pytest.raises(TypeError, match="make one where it is needed"):
                hand_on(found)
    for found in (reply, stream.partial, *reply.attempts, told):
        assert not tells_key(pickle.dumps(found))
    stream.close()


def test_neither_curl_text_nor_a_warning_has_the_key() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = Client(KEY, "http://api.example.com/v1", verify=False, headers={"X-Api-Key": "another-secret"})
        text = client.curl("Hello", model="gpt-5", max_tokens=5)
    assert len(caught) == 3
    for shown in (text, *(f"{warning.message} {warning!r}" for warning in caught)):
        assert not tells_key(shown)
        assert "another-secret" not in shown


# Who echoes it


def echoing(body: bytes, *lines: str, status: str = "200 OK", kind: str = "application/json") -> list[bytes]:
    return [head(f"Content-Length: {len(body)}", *lines, status=status, kind=kind) + body]


def streaming(*events: bytes) -> list[bytes]:
    return [STREAM_HEAD, *chunked(events)]


ECHOES: dict[str, list[bytes]] = {
    "a message": echoing(b'{"error": {"message": "%b"}}' % ECHO.encode(), status="401 Unauthorized"),
    "every fact": echoing(
        f'{{"error": {{"message": "{KEY}", "code": "{KEY}", "type": "{KEY}", "param": "{KEY}"}}}}'.encode(),
        status="400 Bad Request",
    ),
    "a header": echoing(b"{}", f"X-Request-Id: {KEY}", f"X-Ratelimit-Reset-Tokens: {KEY}", status="500 Failed"),
    "a retry-after": echoing(b"{}", f"Retry-After: {KEY}", status="429 Slow"),
    "a reason phrase": echoing(b"{}", status=f"401 {KEY}"),
    "a header's name": echoing(b"{}", f"{KEY}: 1", status="401 Unauthorized"),
    "a header that is none": [f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n".encode()],
    "a chunk's size": [head("Transfer-Encoding: chunked"), f"{KEY}\r\n".encode()],
    "an encoding": echoing(b"{}", f"Content-Encoding: {KEY}"),
    "a length": [head(f"Content-Length: {KEY}")],
    "a redirect's path": echoing(b"", f"Location: https://h/{KEY}/v1", status="307 Temporary Redirect"),
    "a redirect's query": echoing(b"", f"Location: https://h/?key={KEY}", status="302 Found"),
    "a redirect's user": echoing(b"", f"Location: https://user:{KEY}@h/", status="301 Moved"),
    "a redirect to a name": echoing(b"", f"Location: {KEY}", status="308 Moved"),
    "HTML": echoing(b"<html><h1>%b</h1></html>" % ECHO.encode(), status="502 Bad Gateway", kind="text/html"),
    "text under 200": echoing(ECHO.encode(), kind="text/plain"),
    "an object without choices": echoing(b'{"key": "%b"}' % KEY.encode()),
    "bytes that are no UTF-8": echoing(b'{"key": "%b\xff"}' % KEY.encode()),
    "an escape beside half a character": echoing(b'{"a": "\\ud800", "b": "%b", nope' % KEY.encode()),
    "a key cut short": echoing(b"x" * 1000 + KEY.encode()[:-1], status="400 Bad Request"),
    "an error event": streaming(b'event: error\ndata: {"error": {"message": "%b"}}\n\n' % ECHO.encode()),
    "an error after output": streaming(piece("Hi"), b'data: {"error": {"message": "%b"}}\n\n' % ECHO.encode()),
    "an event that is no JSON": streaming(piece("Hi"), b"data: %b\n\n" % ECHO.encode()),
    "an event that is no UTF-8": streaming(piece("Hi"), b'data: {"a": "%b\xff"}\n\n' % KEY.encode()),
    "an event of another kind": streaming(b"data: [%b]\n\n" % f'"{KEY}"'.encode(), DONE),
    "a tool call's index": streaming(event(choices=[{"index": 0, "delta": {"tool_calls": [{"index": KEY}]}}])),
    "a choice's index": streaming(event(choices=[{"index": KEY, "delta": {"content": "a"}}])),
    "before the answer": [f"220 {ECHO}\r\n".encode()],
}


@pytest.mark.parametrize("echo", ECHOES)
def test_whoever_echoes_the_key_gets_it_into_no_error_log_or_trace(
    echo: str, connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(*ECHOES[echo])
    told: list[TraceEvent] = []
    caller = connect(byte_server.url, trace=told.append)
    for policy in (ONCE, RetryPolicy(base_s=0.001, max_attempts=2)):
        for ask in (caller.chat, lambda **options: list(caller.stream(**options).deltas())):
            with pytest.raises(BarechatError) as caught:
                ask(retry=policy)
            assert KEY[:8] not in all_of(caught.value)
            assert not tells_key(all_of(caught.value))
            assert not tells_key(pickle.dumps(caught.value))
    assert KEY[:8] not in repr(told)


def test_a_model_s_own_words_are_the_caller_s_even_where_they_are_the_key(
    connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answer(*echoing(whole_body(f"You said {KEY}.")))
    assert connect(byte_server.url).chat(f"Repeat {KEY}").text == f"You said {KEY}."


def test_a_secret_of_one_s_own_headers_is_kept_out_too(connect: Connect, byte_server: ByteServer) -> None:
    secrets = {
        "X-Gateway-Token": "gateway-token-01",
        "Cookie": "session=cookie-01",
        "Authorization": "Basic bWU6cGFzc3dvcmQtMDE=",
    }
    body = "gateway-token-01 session=cookie-01 bWU6cGFzc3dvcmQtMDE= password-01"
    byte_server.answer(*echoing(body.encode(), status="403 Forbidden"))
    with pytest.raises(BarechatError) as caught:
        connect(byte_server.url, headers=secrets).chat()
    for secret in body.split():
        assert secret not in all_of(caught.value)
    assert "*** *** *** ***" in str(caught.value)


def test_each_attempt_s_token_is_kept_out_of_all_that_follows(connect: Connect, byte_server: ByteServer) -> None:
    tokens = iter(["token-number-01", "token-number-02"])
    byte_server.answer(*echoing(b"token-number-01", status="503 Busy"))
    byte_server.answer(*echoing(b"token-number-01 token-number-02", status="401 Unauthorized"))
    told: list[TraceEvent] = []
    caller = connect(byte_server.url, api_key=lambda: next(tokens), trace=told.append, retry=QUICK)
    with pytest.raises(BarechatError) as caught:
        caller.chat()
    assert "token-number-02" not in all_of(caught.value)
    assert "token-number" not in repr(told)


def test_a_deadline_and_a_cut_show_nothing_of_the_request(caller: Caller, simulator: Simulator) -> None:
    faults: list[dict[str, Any]] = [
        {"stall_head": True},
        {"reset_before": True},
        {"close_before": True},
        {"cut_after": 1},
    ]
    for fault in faults:
        simulator.fail_next(2, **fault)
        for ask in (caller.chat, lambda **options: list(caller.stream(**options))):
            with pytest.raises(BarechatError) as caught:
                ask(retry=ONCE, timeouts=Timeouts(first_byte_s=0.05, total_s=0.05) if "stall_head" in fault else None)
            assert not tells_key(all_of(caught.value))


# The parts


def test_secrets_are_what_stands_in_secret_headers_without_their_scheme() -> None:
    headers = {
        "Authorization": "Bearer sk-0123456789",
        "Proxy-Authorization": "Basic bWU6cGFzc3dvcmQtMDE=",
        "authorization": "bearer  lower-case-01",
        "api-key": "azure-key-01",
        "X-Api-Key": "short",
        "AUTHORIZATION": "scheme-less-01",
        "proxy-authorization": "Basic no-base64-01",
        "User-Agent": "barechat/0.1.0",
    }
    assert secrets_of(headers) == {
        "sk-0123456789",
        "bWU6cGFzc3dvcmQtMDE=",
        "password-01",
        "lower-case-01",
        "azure-key-01",
        "scheme-less-01",
        "no-base64-01",
    }


def test_of_two_secrets_where_one_begins_the_other_both_are_hidden_whole() -> None:
    assert without({"secret-01", "secret-01-longer"}, "a secret-01-longer b secret-01 c") == "a *** b *** c"


def test_a_cause_is_dropped_for_what_it_holds_not_only_for_what_it_says() -> None:
    quiet = UnicodeDecodeError("utf-8", KEY.encode() + b"\xff", len(KEY), len(KEY) + 1, "invalid start byte")
    assert KEY not in str(quiet)
    attached = ValueError("quiet")
    attached.add_note("nothing")
    attached.__dict__["doc"] = KEY
    nested = OSError("outer", ValueError(KEY))
    for cause in (quiet, attached, nested):
        for name in ("__cause__", "__context__"):
            error = ConnectionFailed("broke")
            error.__cause__, error.__context__ = ValueError("harmless"), ValueError("harmless")
            setattr(error.__cause__, name, cause)
            redact(error, {KEY})
            assert list(chain_of(error)) == [error]
    error = ConnectionFailed("broke")
    error.__cause__ = kept = ValueError("harmless", b"bytes", 5)
    redact(error, {KEY})
    assert error.__cause__ is kept
