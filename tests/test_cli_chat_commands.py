"""What is typed after `/` in `barechat chat`, and the line at the bottom, by plain values."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from barechat import ChatSession, Client, ConfigurationError, CostTracker, ParameterError, Usage
from barechat.cli.chat_commands import COMMANDS, Desk, Outcome, message_of, perform
from barechat.cli.toolbar import toolbar
from barechat.cli.turn import Turn
from barechat.records import FREE, Cost
from barechat.wire.reply import reply_of
from support import KEY, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from barechat.simulator import Simulator


@pytest.fixture
def desk(simulator: Simulator) -> Iterator[Desk]:
    with Client(KEY, simulator.url) as client:
        yield Desk(ChatSession(client, model=MODEL))


def said(desk: Desk, line: str) -> str:
    outcome = perform(desk, line)
    assert not outcome.is_refused
    return outcome.said


def refused(desk: Desk, line: str) -> str:
    outcome = perform(desk, line)
    assert outcome.is_refused
    assert outcome.then == ""
    return outcome.said


def test_a_line_is_a_message_unless_it_begins_with_one_slash() -> None:
    assert message_of("Hi / there") == "Hi / there"
    assert message_of("//etc/hosts") == "/etc/hosts"
    assert message_of("/help") is None


def test_the_model_can_be_told_and_changed(desk: Desk) -> None:
    assert said(desk, "/model") == f"the model is {MODEL}"
    assert said(desk, "/MODEL  gpt-4.1 ") == "the model is gpt-4.1"
    assert desk.session.model == "gpt-4.1"


def test_the_system_message_can_be_told_changed_and_taken_away(desk: Desk) -> None:
    assert said(desk, "/system") == "there is no system message"
    assert said(desk, "/system Be brief. Be rude.") == "the system message is: Be brief. Be rude."
    assert desk.session.messages == [{"role": "system", "content": "Be brief. Be rude."}]
    assert said(desk, "/system -") == "there is no system message"
    assert desk.session.messages == []


def test_a_turn_can_be_taken_back_and_asked_for_again(desk: Desk) -> None:
    assert refused(desk, "/undo") == "there is no turn to take back."
    assert refused(desk, "/retry") == "there is no turn to try again."
    desk.session.send("One\ntwo " + "three " * 20)
    opening = "One two three three three three three three three three t..."
    assert perform(desk, "/retry") == Outcome(f"once more: {opening}", then="retry")
    assert said(desk, "/undo") == f"taken back: {opening}"
    assert desk.session.messages == []


def test_a_conversation_is_saved_and_loaded_but_no_other_file_overwritten(desk: Desk, tmp_path: Path) -> None:
    path, other = tmp_path / "my talk.json", tmp_path / "notes.txt"
    other.write_text("precious")
    desk.session.send("One")
    kept = list(desk.session.messages)
    assert said(desk, f"/save {path}") == f"saved to {path}"
    desk.session.send("Two")
    assert said(desk, f"/load {path}") == f"1 turn from {path}"
    assert desk.session.messages == kept == json.loads(path.read_text())
    said(desk, f"/save {path}")
    assert "is no conversation" in refused(desk, f"/save {other}")
    assert other.read_text() == "precious"
    with pytest.raises(ConfigurationError, match=r"notes\.txt is not JSON"):
        perform(desk, f"/load {other}")
    assert desk.session.messages == kept


def test_nothing_is_loaded_over_a_conversation_that_is_kept(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    said(desk, f"/save {path}")
    kept = Desk(desk.session, "mine")
    assert said(kept, f"/load {path}") == f"0 turns from {path}"
    kept.session.send("One")
    assert "mine would be lost" in refused(kept, f"/load {path}")
    assert len(kept.session.messages) == 2


def test_an_image_goes_with_the_next_message(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a picture"
    path.write_bytes(b"GIF89a")
    assert said(desk, f"/image {path}") == f"{path} goes with the next message"
    url = f"data:image/gif;base64,{base64.b64encode(b'GIF89a').decode()}"
    assert desk.attached == [{"type": "image_url", "image_url": {"url": url}}]
    assert said(desk, "/image -") == "the next message goes without images"
    assert desk.attached == []


def test_an_image_s_url_is_passed_on(desk: Desk) -> None:
    url = "https://example.com//a%20chart.png"
    assert said(desk, f"/image {url}") == f"{url} goes with the next message"
    assert desk.attached == [{"type": "image_url", "image_url": {"url": url}}]


def test_what_is_no_image_is_told(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("GIF87")
    with pytest.raises(
        ParameterError, match=r"the API takes PNG, JPEG, WebP, GIF alone, and '.*notes\.txt' is of no known type"
    ):
        perform(desk, f"/image {tmp_path / 'notes.txt'}")
    with pytest.raises(ParameterError, match="can't be read: No such file"):
        perform(desk, f"/image {tmp_path / 'none.png'}")


def test_the_wire_is_shown_until_it_isn_t(desk: Desk) -> None:
    assert said(desk, "/wire") == "what goes over the wire is shown"
    assert desk.wire.is_shown
    assert said(desk, "/wire") == "what goes over the wire is not shown any more"
    assert not desk.wire.is_shown


def test_the_cost_is_that_of_the_session(desk: Desk) -> None:
    desk.session.send("One")
    assert said(desk, "/cost") == str(desk.session.cost.totals)


def test_help_names_every_command_in_lines_of_80_columns(desk: Desk) -> None:
    lines = said(desk, "/help").splitlines()
    assert [line.split()[0] for line in lines[: len(COMMANDS)]] == [f"/{name}" for name in COMMANDS]
    assert max(map(len, lines)) <= 80
    assert perform(desk, "/quit") == Outcome("", then="leave")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/hlep", "did you mean /help?"),
        ("/xyzzy", "/help lists the commands."),
        ("/", "/help lists the commands."),
        ("/etc/hosts is broken", "is written with //."),
        ("/save", "write it as /save PATH."),
        ("/undo two", "/undo takes nothing after it."),
    ],
)
def test_what_is_no_command_is_told_what_is(line: str, hint: str, desk: Desk) -> None:
    assert hint in refused(desk, line)


# The line at the bottom


def turn_of(cost: Cost, prompt: int = 1200, completion: int = 340) -> Turn:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return Turn(reply=reply_of({"choices": [], "usage": usage}, "complete"), cost=cost)


def spent(*costs: Cost) -> CostTracker:
    tracker = CostTracker()
    for cost in costs:
        tracker.record(MODEL, Usage(prompt_tokens=1200, completion_tokens=340, total_tokens=1540), cost)
    return tracker


EXACT = Cost(picodollars=384_000_000, certainty="exact")
BOUND = Cost(picodollars=9_800_000_000, certainty="bound")


def test_the_line_at_the_bottom_tells_the_turn_the_session_and_how_sure_they_are() -> None:
    assert toolbar(90, "o3", "", turn_of(EXACT), spent(EXACT, BOUND)) == (
        " o3 │ turn 1,200 + 340 tokens $0.000384 │ session 2,400 + 680 tokens ≤ $0.010184 "
    )
    stopped = Turn(reply=None, cost=BOUND)
    assert toolbar(80, "o3", "trip", stopped, spent(BOUND)) == (
        " o3 │ turn ≤ $0.0098 │ session trip 1,200 + 340 tokens ≤ $0.0098 "
    )
    unpriced = Cost(picodollars=None, certainty="unpriced")
    assert "turn 1,200 + 340 tokens unpriced" in toolbar(80, "o3", "", turn_of(unpriced), spent(unpriced))


def test_a_terminal_without_the_characters_gets_others() -> None:
    estimate = Cost(picodollars=10**9, certainty="estimate")
    assert toolbar(80, "o3", "", turn_of(estimate), spent(BOUND), is_unicode=False) == (
        " o3 | turn 1,200 + 340 tokens ~ $0.001 | session 1,200 + 340 tokens <= $0.0098 "
    )


@pytest.mark.parametrize("name", ["", "a-name-that-somebody-thought-about"])
@pytest.mark.parametrize("last", [None, turn_of(EXACT, 10**6, 10**6), turn_of(FREE)])
def test_the_line_at_the_bottom_is_never_longer_than_the_terminal_is_wide(last: Turn | None, name: str) -> None:
    lines = {toolbar(width, "gpt-4o-mini-2024-07-18", name, last, spent(BOUND)): width for width in range(1, 200)}
    assert all(len(line) <= width for line, width in lines.items())
    assert len(lines) > 3
