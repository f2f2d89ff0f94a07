"""barechat.wire.trace: everything that goes over the wire is told, byte for byte, and no secret with it."""

from __future__ import annotations

import logging
import os
import pickle
import re
import unicodedata
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from barechat import AuthenticationFailed, ConnectionFailed
from barechat.wire.trace import TraceEvent, Tracer, Transcript
from commands import on_a_terminal, run
from framings import BODIES, EVERY_FRAMING, PACKERS, framed
from support import KEY, Sent, head, piece

if TYPE_CHECKING:
    from barechat.simulator import Simulator
    from support import ByteServer, Caller, Connect

TOKEN = "token-also-secret"
ODD_KEY = 'key/with+all "kinds" \\ of=characters&<more>'
UNAVAILABLE = Sent([head("Content-Length: 2", status="503 Busy"), b"no"], closes=False)


def traced(key: str = KEY) -> tuple[Tracer, list[TraceEvent]]:
    told: list[TraceEvent] = []
    ticks = iter(range(10**6))
    return Tracer(told.append, lambda: float(next(ticks)), [key]), told


def bodies(told: list[TraceEvent]) -> bytes:
    return b"".join(event.body for event in told if event.kind == "body")


def ask(caller: Caller, streamed: bool, **options: Any) -> None:
    if streamed:
        with caller.stream(**options) as stream:
            list(stream)
    else:
        caller.chat(**options)


# What is told, and what isn't


def test_every_step_is_told_with_its_time_and_attempt_and_no_secret() -> None:
    tracer, told = traced()
    first = {"X-Client-Request-Id": "id-1", "Authorization": f"Bearer {TOKEN}", "X": f"a {KEY} b"}
    tracer.request(f"https://h/{KEY}/v1", first, f"my {KEY}".encode())
    tracer.head(401, {"x-request-id": "r", "set-cookie": "c=1", "echo": f"{KEY} {TOKEN} é"})
    tracer.body(f"Incorrect: {KEY}, {TOKEN}".encode())
    tracer.body(b"")
    tracer.wait(1.5, f"refused {KEY}")
    tracer.request("https://h/v1", {"X-Client-Request-Id": "id-2", "api-key": KEY, "X-Api-Key": "other"}, b"{}")
    assert [(event.kind, event.at, event.attempt, event.client_request_id) for event in told] == [
        ("request", 0, 1, "id-1"),
        ("head", 1, 1, "id-1"),
        ("body", 2, 1, "id-1"),
        ("end", 3, 1, "id-1"),
        ("wait", 4, 1, "id-1"),
        ("request", 5, 2, "id-2"),
    ]
    assert told[0].headers == {"X-Client-Request-Id": "id-1", "Authorization": "***", "X": "a *** b"}
    assert (told[0].url, told[0].body) == ("https://h/***/v1", b"my ***")
    assert told[1].headers == {"x-request-id": "r", "set-cookie": "***", "echo": "*** *** é"}
    assert told[2].body == b"Incorrect: ***, ***"
    assert (told[4].delay_s, told[4].text) == (1.5, "refused ***")
    assert told[5].headers == {"X-Client-Request-Id": "id-2", "api-key": "***", "X-Api-Key": "***"}
    everything = repr(told) + repr(pickle.dumps(told))
    assert KEY not in everything
    assert TOKEN not in everything


@pytest.mark.parametrize("at", range(1, len(KEY)))
def test_a_key_that_comes_in_two_pieces_is_masked_and_nothing_else_is_lost(at: int) -> None:
    tracer, told = traced()
    tracer.request("u", {}, b"{}")
    tracer.head(200, {})
    body = f"the key {KEY} and sk-".encode()
    cut = body.index(KEY.encode()) + at
    for part in (body[:cut], body[cut:], b""):
        tracer.body(part)
    assert bodies(told) == b"the key *** and sk-"
    assert told[-1].kind == "end"


@pytest.mark.parametrize(
    "echo",
    [
        ODD_KEY,
        'key\\/with+all \\"kinds\\" \\\\ of=characters&<more>',
        "key%2Fwith%2Ball%20%22kinds%22%20%5C%20of%3Dcharacters%26%3Cmore%3E",
    ],
)
def test_a_key_is_masked_however_json_or_a_url_spells_it(echo: str) -> None:
    for at in range(len(echo)):
        tracer, told = traced(ODD_KEY)
        tracer.request("u", {}, b"{}")
        tracer.head(400, {"location": echo})
        for part in (echo[:at], echo[at:], ""):
            tracer.body(part.encode())
        assert told[1].headers == {"location": "***"}
        assert bodies(told) == b"***"


def test_most_of_a_key_at_a_cut_end_is_masked_and_a_few_letters_aren_t() -> None:
    for size in range(1, len(KEY)):
        tracer, told = traced()
        tracer.request("u", {}, b"{}")
        tracer.head(200, {})
        for part in (f"a {KEY[:size]}".encode(), b""):
            tracer.body(part)
        assert bodies(told) == (b"a ***" if size >= 8 else f"a {KEY[:size]}".encode())


def test_a_key_whose_end_is_its_beginning_is_masked_as_a_whole() -> None:
    tracer, told = traced("abab-abab")
    tracer.request("u", {}, b"{}")
    tracer.head(200, {})
    for part in (b"x abab-abab", b" y abab-", b"abab abab-abab-abab.", b""):
        tracer.body(part)
    assert b"abab-" not in bodies(told)
    assert bodies(told) == b"x *** y *** ***-abab."


def test_what_was_held_back_of_an_answer_that_broke_off_is_told_before_the_next_try() -> None:
    for has_wait in (True, False):
        tracer, told = traced()
        tracer.request("u", {}, b"{}")
        tracer.head(200, {})
        tracer.body(b"data: tas")
        assert bodies(told) == b"data: ta"
        if has_wait:
            tracer.wait(1.0, "cut")
        else:
            tracer.request("u", {}, b"")
        assert [event.kind for event in told[2:4]] == ["body", "body"]
        assert bodies(told) == b"data: tas"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
def test_a_compressed_body_is_told_as_it_came_unless_it_echoes_a_secret(encoding: str) -> None:
    for text, is_told in ((f"no key, {KEY[:5]}", True), (f"the key {KEY} itself", False), (KEY[:-1], False)):
        packed = PACKERS[encoding](text.encode())
        for at in range(len(packed)):
            tracer, told = traced()
            tracer.request("u", {}, b"{}")
            tracer.head(200, {"content-encoding": encoding.removeprefix("raw ")})
            for part in (packed[:at], packed[at:], b""):
                tracer.body(part)
            shown = bodies(told)
            assert (shown == packed) is is_told
            if not is_told:
                head_of_it, masked, _ = shown.partition(b"***")
                assert masked
                assert packed.startswith(head_of_it)
                wbits = {"gzip": 31, "deflate": 15, "raw deflate": -15}[encoding]
                assert KEY[:8].encode() not in zlib.decompressobj(wbits).decompress(head_of_it)


@pytest.mark.parametrize(("encoding", "body"), [("gzip", b"no gzip"), ("br", b"\x0b\x02\x80who knows\x03")])
def test_a_body_that_nobody_can_decompress_is_told_as_it_came(encoding: str, body: bytes) -> None:
    tracer, told = traced()
    tracer.request("u", {}, b"{}")
    tracer.head(200, {"content-encoding": encoding})
    for part in (body[:4], body[4:], b""):
        tracer.body(part)
    assert bodies(told) == body


def test_a_short_stand_in_for_a_key_or_none_garbles_no_text() -> None:
    for key in ("k", ""):
        tracer, told = traced(key)
        tracer.request("u", {"Authorization": f"Bearer {key}"}, b"kick")
        assert (told[0].body, told[0].headers) == (b"kick", {"Authorization": "***"})


def test_one_s_own_secret_headers_are_masked_wherever_they_are_echoed() -> None:
    tracer, told = traced("")
    own = {
        "Authorization": "Basic dXNlcjpwYXNzd29yZA==",
        "Cookie": "session=0123456789; b=2",
        "X-Gateway-Key": "gate-key-01",
    }
    tracer.request("u", own, b"{}")
    tracer.head(403, {})
    tracer.body(b"dXNlcjpwYXNzd29yZA== session=0123456789; b=2 gate-key-01")
    assert bodies(told) == b"*** *** ***"


# Both clients, over real sockets


@pytest.mark.parametrize(("shape", "framing", "encoding"), EVERY_FRAMING)
def test_a_body_is_told_byte_for_byte_after_de_chunking_and_before_decompression(
    shape: str, framing: str, encoding: str, connect: Connect, byte_server: ByteServer
) -> None:
    answer = framed(shape, framing, encoding)
    byte_server.answers.append(answer)
    told: list[TraceEvent] = []
    ask(connect(byte_server.url, trace=told.append), shape == "streamed")
    sent = answer.pieces[1:]
    if framing == "chunked":
        sent = [chunk.partition(b"\r\n")[2].removesuffix(b"\r\n") for chunk in sent[:-1]]
    assert bodies(told) == b"".join(sent)
    assert [told[0].kind, told[1].kind, told[-1].kind] == ["request", "head", "end"]
    assert (told[1].status, told[1].headers["content-type"]) == (200, BODIES[shape][0])


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_is_told_as_it_reached_the_server(streamed: bool, connect: Connect, byte_server: ByteServer) -> None:
    byte_server.answers.append(framed("streamed" if streamed else "whole", "length"))
    told: list[TraceEvent] = []
    ask(connect(byte_server.url, trace=told.append), streamed, messages="Où ?", headers={"X-Mine": "a"})
    (got,) = byte_server.requests
    assert told[0].body == got.body
    assert told[0].url == f"{byte_server.url}/chat/completions"
    lines = got.head.lower().split("\r\n")
    for name, value in told[0].headers.items():
        sent = f"Bearer {KEY}" if value == "***" else value
        assert f"{name}: {sent}".lower() in lines
    assert [name for name, value in told[0].headers.items() if value == "***"] == ["Authorization"]


@pytest.mark.parametrize("streamed", [False, True])
def test_each_wait_is_told_with_its_reason_between_its_attempts(
    streamed: bool, connect: Connect, byte_server: ByteServer
) -> None:
    byte_server.answers += [UNAVAILABLE, Sent([]), framed("streamed" if streamed else "whole", "chunked")]
    told: list[TraceEvent] = []
    caller = connect(byte_server.url, trace=told.append)
    ask(caller, streamed)
    kinds = [event.kind for event in told if event.kind != "body"]
    assert kinds == ["request", "head", "end", "wait", "request", "wait", "request", "head", "end"]
    waits = [event for event in told if event.kind == "wait"]
    assert "503" in waits[0].text
    assert "without an answer" in waits[1].text
    assert [event.at for event in told] == sorted(event.at for event in told)
    assert [event.attempt for event in told if event.kind == "request"] == [1, 2, 3]
    sent = [re.search(r"(?i)x-client-request-id: (\w+)", got.head) for got in byte_server.requests]
    assert [found[1] for found in sent if found] == [e.client_request_id for e in told if e.kind == "request"]


class TraceFailedError(Exception):
    """What a trace function raises that can't write its file."""


class ConnectionToTracerError(ConnectionFailed, TraceFailedError):
    """One that is an error of barechat's besides, as when the trace function makes a call itself."""


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("raised", [TraceFailedError, ConnectionToTracerError])
@pytest.mark.parametrize("kind_of_event", ["request", "head", "body", "wait", "end"])
def test_a_trace_function_that_raises_ends_the_call_with_its_exception_and_leaves_no_connection(
    kind_of_event: str, raised: type[TraceFailedError], streamed: bool, connect: Connect, byte_server: ByteServer
) -> None:
    answer = framed("streamed" if streamed else "whole", "chunked")
    first = {"wait": UNAVAILABLE, "end": answer}.get(kind_of_event, Sent(answer.pieces[:2], closes=False))
    byte_server.answers += [answer] if kind_of_event == "request" else [first, answer]
    fails = [True]

    def trace(event: TraceEvent) -> None:
        if event.kind == kind_of_event and fails:
            fails.clear()
            raise raised(event.kind)

    caller = connect(byte_server.url, trace=trace)
    with pytest.raises(TraceFailedError, match=kind_of_event):
        ask(caller, streamed)
    asked = len(byte_server.requests)
    assert asked == (kind_of_event != "request")
    if kind_of_event in {"head", "body"}:
        byte_server.wait_until_closed(1)  # the rest of the answer is nobody's
    ask(caller, streamed)
    assert len(byte_server.requests) == asked + 1
    assert byte_server.connections == (2 if kind_of_event in {"head", "body"} else 1)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_log_has_a_line_an_attempt_and_nothing_secret(
    streamed: bool, caller: Caller, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "barechat")
    simulator.fail_next(status=503, body=f"no {KEY}")
    ask(caller, streamed)
    simulator.fail_next(status=401, body=f"no {KEY}")
    with pytest.raises(AuthenticationFailed):
        ask(caller, streamed)
    lines = [(record.levelname, record.message) for record in caplog.records if record.name == "barechat"]
    assert [level for level, _ in lines] == ["INFO"] * 3
    patterns = [
        r"attempt 1 failed \(the server answered 503: no \*\*\*\. .*\); next try in 0\.\d\d s",
        r"gpt-4o-mini: complete after 2 attempts, \$0\.\d+",
        r"gpt-4o-mini: no reply after 1 attempts \(the server answered 401: no \*\*\*\. .*\)",
    ]
    for (_, line), pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line)


# A transcript


def written(*events: TraceEvent) -> str:
    lines: list[str] = []
    transcript = Transcript(lines.append)
    for event in events:
        transcript(event)
    transcript.end()
    return "".join(lines)


def event(kind: Any, at: float = 0.0, **facts: Any) -> TraceEvent:
    return TraceEvent(kind=kind, at=at, attempt=2, **facts)


def test_each_line_is_marked_with_its_direction_and_each_part_with_its_time() -> None:
    assert written(
        event("request", 1000.0, url="https://h/v1", headers={"A": "b"}, body=b'{"a":1}'),
        event("head", 1000.5, status=200, headers={"a": "b"}),
        event("body", 1000.75, body=b"data: x\n\ndata: y\n\n"),
        event("end", 1001.0),
        event("wait", 1001.25, delay_s=1.234, text="503"),
    ) == (
        '* 0.000 s: attempt 2\n> POST https://h/v1\n> A: b\n> \n> {"a":1}\n'
        "* 0.500 s: the answer\n< HTTP 200\n< a: b\n< \n"
        "< data: x\n< \n< data: y\n< \n"
        "* 1.000 s: end of the answer\n"
        "* 1.250 s: attempt 2 failed: 503\n* next try in 1.23 s\n"
    )


def test_a_line_is_one_line_whatever_pieces_it_comes_in() -> None:
    body = "data: très 😀 froid\n\ndata: [DONE]".encode()
    whole = written(event("body", body=body))
    assert whole == "< data: très 😀 froid\n< \n< data: [DONE]\n"
    for at in range(len(body)):
        assert written(event("body", body=body[:at]), event("body", body=body[at:])) == whole


def test_a_line_that_broke_off_is_written_before_what_follows() -> None:
    shown = written(event("body", body=b"data: {"), event("wait", text="cut"))
    assert shown == "< data: {\n* 0.000 s: attempt 2 failed: cut\n* next try in 0.00 s\n"


@pytest.mark.parametrize("kind_of_event", ["request", "body"])
def test_a_body_cannot_draw_on_the_terminal_nor_hide_in_it(kind_of_event: str) -> None:
    """What isn't printable is spelt out; only LF begins a line, so U+2028 in a token's text shows."""
    body = "a\x1b[2Jb\r\n\u2028\u202ec\té\x07\x9b".encode() + b"\xff\x00"
    shown = written(event(kind_of_event, body=body))
    assert shown.endswith(
        " a\\x1b[2Jb\\r\n" + shown[0:1].replace("*", ">") + " \\u2028\\u202ec\té\\x07\\x9b\\xff\\x00\n"
    )


def test_no_header_url_or_reason_can_either() -> None:
    odd = "\x1b]0;title\x07\n< HTTP 200"
    for shown in (event("head", headers={"a": odd}), event("request", url=odd), event("wait", text=odd)):
        assert "\\x1b]0;title\\x07\\n< HTTP 200\n" in written(shown)


# `barechat ask --wire`


@pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")
def test_on_a_terminal_only_marks_stand_in_the_first_columns_and_no_line_is_wider(simulator: Simulator) -> None:
    simulator.fail_next(status=503, body=f"日本語 {KEY} " * 40, headers={"retry-after-ms": "1"})
    simulator.fail_next(reply="< HTTP 200 日本語\x1b[2J " * 30)
    shown, code = on_a_terminal("ask", "Où ?" * 50, "--wire", url=simulator.url, NO_COLOR="1")
    transcript, end, _ = shown.rpartition(" s: end of the answer\n")
    assert end
    for line in transcript.split("\n"):
        assert line[:2] in {"> ", "< ", "* ", "  "}
        assert sum(2 if unicodedata.east_asian_width(character) == "W" else 1 for character in line) <= 80
    assert KEY not in shown
    assert code == 0


def test_bytes_that_are_no_text_are_spelt_out_and_stdout_has_the_answer_alone(byte_server: ByteServer) -> None:
    body = b'{"error": "\xff\xfe\x00\x1b[2J"}'
    byte_server.answer(head(f"Content-Length: {len(body)}", status="400 Bad") + body, closes=False)
    result = run("ask", "How?", "--wire", url=byte_server.url)
    assert '< {"error": "\\xff\\xfe\\x00\\x1b[2J"}\n' in result.stderr
    assert (result.stdout, result.returncode) == ("", 1)


def test_what_came_of_a_broken_line_is_shown_before_the_error(byte_server: ByteServer) -> None:
    byte_server.answer(head("Content-Length: 500", kind="text/event-stream"), piece("Ra") + b'data: {"choi')
    result = run("ask", "How?", "--wire", url=byte_server.url)
    shown, _, rest = result.stderr.partition('< data: {"choi\n')
    assert "Ra" in shown
    assert rest.startswith("error: ")
    assert result.stdout == "Ra\n"
