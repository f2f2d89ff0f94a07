"""barechat.wire.trace: everything that goes over the wire is told, and no secret with it."""

from __future__ import annotations

import pickle

import pytest

from barechat.wire.trace import TraceEvent, Tracer, as_text

KEY = "sk-very-secret"
TOKEN = "token-also-secret"


def test_every_step_is_told_with_its_time_and_attempt_and_no_secret() -> None:
    told: list[TraceEvent] = []
    ticks = iter(range(100))
    tracer = Tracer(told.append, lambda: float(next(ticks)), KEY)
    tracer.request("https://h/v1", {"Authorization": f"Bearer {TOKEN}", "X": f"a {KEY} b"}, f"my {KEY}".encode())
    tracer.head(401, {"x-request-id": "r", "set-cookie": "c=1", "echo": f"{KEY} {TOKEN}"})
    tracer.body(f"Incorrect: {KEY}, {TOKEN}".encode())
    tracer.body(b"")
    tracer.wait(1.5, f"refused {KEY}")
    tracer.request("https://h/v1", {"api-key": KEY, "X-Api-Key": "other"}, b"{}")
    assert [(event.kind, event.at, event.attempt) for event in told] == [
        ("request", 0, 1),
        ("head", 1, 1),
        ("body", 2, 1),
        ("end", 3, 1),
        ("wait", 4, 1),
        ("request", 5, 2),
    ]
    assert told[0].headers == {"Authorization": "***", "X": "a *** b"}
    assert told[0].body == b"my ***"
    assert told[1].headers == {"x-request-id": "r", "set-cookie": "***", "echo": "*** ***"}
    assert told[2].body == b"Incorrect: ***, ***"
    assert (told[4].delay_s, told[4].text) == (1.5, "refused ***")
    assert told[5].headers == {"api-key": "***", "X-Api-Key": "***"}
    everything = repr(told) + "".join(map(as_text, told)) + repr(pickle.dumps(told))
    assert KEY not in everything
    assert TOKEN not in everything


@pytest.mark.parametrize("at", range(1, len(KEY)))
def test_a_key_that_comes_in_two_pieces_is_masked_and_nothing_else_is_lost(at: int) -> None:
    told: list[TraceEvent] = []
    tracer = Tracer(told.append, lambda: 0.0, KEY)
    tracer.request("u", {}, b"{}")
    body = f"the key {KEY} and sk-".encode()
    cut = body.index(KEY.encode()) + at
    for piece in (body[:cut], body[cut:], b""):
        tracer.body(piece)
    assert b"".join(event.body for event in told[1:]) == b"the key *** and sk-"
    assert told[-1].kind == "end"


def test_a_short_stand_in_for_a_key_garbles_no_text() -> None:
    told: list[TraceEvent] = []
    tracer = Tracer(told.append, lambda: 0.0, "k")
    tracer.request("u", {"Authorization": "Bearer k"}, b"kick")
    assert (told[0].body, told[0].headers) == (b"kick", {"Authorization": "***"})


def test_no_key_masks_nothing() -> None:
    told: list[TraceEvent] = []
    tracer = Tracer(told.append, lambda: 0.0, "")
    tracer.request("u", {"Authorization": "Bearer "}, b"abc")
    assert told[0].body == b"abc"


def event(kind: str, **facts: object) -> str:
    return as_text(TraceEvent(kind=kind, at=0.0, attempt=2, **facts))  # type: ignore[arg-type]


def test_each_line_is_marked_with_its_direction() -> None:
    assert event("request", url="https://h/v1", headers={"A": "b"}, body=b"{}") == (
        "> POST https://h/v1\n> A: b\n> \n> {}\n"
    )
    assert event("head", status=200, headers={"a": "b"}) == "< HTTP 200\n< a: b\n< \n"
    assert event("body", body=b"data: x\n\ndata: y") == "< data: x\n< \n< data: y\n"
    assert event("wait", delay_s=1.234, text="503") == "* attempt 2 failed: 503\n* next try in 1.23 s\n"
    assert event("end") == "* end of the answer\n"


def test_a_body_cannot_draw_on_the_terminal_nor_hide_in_it() -> None:
    """What isn't printable is spelt out; only LF begins a line, so U+2028 in a token's text shows."""
    body = "a\x1b[2Jb\r\n\u2028\u202ec\té\x07\x9b".encode() + b"\xff\n"
    assert event("body", body=body) == "< a\\x1b[2Jb\\r\n< \\u2028\\u202ec\té\\x07\\x9b\\xff\n"
