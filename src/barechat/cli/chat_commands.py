"""What does a line that begins with `/` do in `barechat chat`? The commands, each of which acts on the session."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from barechat import history
from barechat.cli.wording import counted
from barechat.errors import ConfigurationError
from barechat.files import image
from barechat.session_file import read_messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.session import ChatSession

_OPENING = 60  # characters
_LIKENESS = 0.5


@dataclass
class Wire:
    """Whether what goes over the wire is shown."""

    is_shown: bool = False


@dataclass(frozen=True)
class Desk:
    """What commands act on.

    name: that of a conversation that is kept, "" for one that isn't. attached: parts that go with the next message.
    """

    session: ChatSession
    name: str = ""
    wire: Wire = field(default_factory=Wire)
    attached: list[dict[str, Any]] = field(default_factory=list)


class Outcome(NamedTuple):
    """What a command says, and what comes next: the next line, the last message once more, or the end."""

    said: str
    then: Literal["", "retry", "leave"] = ""
    is_refused: bool = False


class Command(NamedTuple):
    """What is typed after its name, what it does in few words, and what does it."""

    takes: str
    does: str
    perform: Callable[[Desk, str], Outcome]


def message_of(line: str) -> str | None:
    """Return the message that a line is, or None if it is a command. `//` begins a message that begins with `/`."""
    if line.startswith("//"):
        return line[1:]
    return None if line.startswith("/") else line


def perform(desk: Desk, line: str) -> Outcome:
    """Do what a line that begins with `/` says.

    Raises:
        ConfigurationError: a conversation's file can't be read or written. ParameterError: so can't an image.
    """
    name, _, argument = line.removeprefix("/").strip().partition(" ")
    name, argument = name.lower(), argument.strip()
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=_LIKENESS)
        hint = f"did you mean /{near[0]}?" if near else "/help lists the commands."
        return _refused(f"there is no command /{name}: {hint} A message that begins with / is written with //.")
    command = COMMANDS[name]
    if argument and not command.takes:
        return _refused(f"/{name} takes nothing after it.")
    if command.takes[:1].isupper() and not argument:
        return _refused(f"write it as /{name} {command.takes}.")
    return command.perform(desk, argument)


def _refused(said: str) -> Outcome:
    return Outcome(said, is_refused=True)


def _model(desk: Desk, name: str) -> Outcome:
    if name:
        desk.session.model = name
    return Outcome(f"the model is {desk.session.model}")


def _system(desk: Desk, text: str) -> Outcome:
    if text == "-":
        desk.session.system_prompt = None
    elif text:
        desk.session.system_prompt = text
    prompt = desk.session.system_prompt
    return Outcome("there is no system message" if prompt is None else f"the system message is: {prompt}")


def _undo(desk: Desk, _: str) -> Outcome:
    turn = desk.session.undo()
    return Outcome(f"taken back: {opening(turn)}") if turn else _refused("there is no turn to take back.")


def _retry(desk: Desk, _: str) -> Outcome:
    start = history.last_turn(desk.session.messages)
    if start is None:
        return _refused("there is no turn to try again.")
    return Outcome(f"once more: {opening(desk.session.messages[start:])}", then="retry")


def _save(desk: Desk, path: str) -> Outcome:
    target = Path(path).expanduser()
    if target.exists():
        try:
            read_messages(target)
        except ConfigurationError:
            return _refused(f"{target} is there, and is no conversation: name another file.")
    desk.session.save(target)
    return Outcome(f"saved to {target}")


def _load(desk: Desk, path: str) -> Outcome:
    if desk.name and history.turns(desk.session.messages):
        return _refused(
            f"the conversation {desk.name} would be lost: `barechat chat` without -c loads into one that isn't kept."
        )
    source = Path(path).expanduser()
    desk.session.load(source)
    return Outcome(f"{counted(history.turns(desk.session.messages), 'turn')} from {source}")


def _image(desk: Desk, source: str) -> Outcome:
    if source == "-":
        desk.attached.clear()
        return Outcome("the next message goes without images")
    if source.startswith("~"):
        source = str(Path(source).expanduser())
    desk.attached.append(image(source))
    return Outcome(f"{source} goes with the next message")


def _cost(desk: Desk, _: str) -> Outcome:
    return Outcome(str(desk.session.cost.totals))


def _wire(desk: Desk, _: str) -> Outcome:
    desk.wire.is_shown = not desk.wire.is_shown
    return Outcome(f"what goes over the wire is {'shown' if desk.wire.is_shown else 'not shown any more'}")


def _help(_: Desk, __: str) -> Outcome:
    usages = {name: f"/{name} {command.takes}".rstrip() for name, command in COMMANDS.items()}
    width = max(map(len, usages.values()))
    lines = [f"{usages[name]:<{width}}  {command.does}" for name, command in COMMANDS.items()]
    return Outcome("\n".join([*lines, "", *_KEYS]))


def _leave(_: Desk, __: str) -> Outcome:
    return Outcome("", then="leave")


# `takes` in capitals: it must be there. In brackets: it may.
COMMANDS = {
    "model": Command("[NAME]", "asks another model from now on, or says which is asked", _model),
    "system": Command("[TEXT]", "sets the system message, or says what it is; - takes it away", _system),
    "undo": Command("", "takes the last turn back", _undo),
    "retry": Command("", "asks the last message again; the new reply replaces the old", _retry),
    "save": Command("PATH", "writes the conversation to a file", _save),
    "load": Command("PATH", "goes on with the conversation of a file", _load),
    "image": Command("PATH-OR-URL", "sends an image with the next message; - sends none after all", _image),
    "cost": Command("", "sums up what the session cost since it was opened", _cost),
    "wire": Command("", "shows every byte sent and received, or no longer", _wire),
    "help": Command("", "prints this", _help),
    "quit": Command("", "leaves, as Ctrl-D does", _leave),
}

_KEYS = [
    "Enter sends, Esc Enter or Alt-Enter begins a line; pasted text keeps its lines.",
    "Ctrl-C stops the reply, or clears what is typed. Ctrl-D leaves.",
    "Up and Ctrl-R bring back what was sent, Ctrl-X Ctrl-E opens an editor.",
    "A message that begins with / is written with //.",
]


def opening(turn: list[dict[str, Any]]) -> str:
    """Return how a turn begins, on one line."""
    text = " ".join(history.told(turn[0]).split())
    return text if len(text) <= _OPENING else f"{text[: _OPENING - 3].rstrip()}..."
