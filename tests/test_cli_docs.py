"""docs/cli.md and the command agree: every command and option stands there, and nothing else."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from barechat.cli.chat_commands import COMMANDS as CHAT_COMMANDS
from barechat.cli.commands import barechat

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "cli.md").read_text("utf-8")
CHAT = (DOCS / "chat.md").read_text("utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE + CHAT, re.DOTALL))
EXAMPLES = re.findall(r"\bbarechat [a-z].*", SHELL)
HEADING = re.compile(r"^##+ barechat ([\w ]+)$", re.MULTILINE)
_, *PARTS = HEADING.split(PAGE)
SECTIONS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))
"""Each command's part of the page; a group's is what stands before its first command."""


def found(group: click.Group, path: str = "") -> dict[str, click.Command]:
    """Return a group's commands and theirs, by the words that call them."""
    commands: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        commands[f"{path}{name}"] = command
        if isinstance(command, click.Group):
            commands |= found(command, f"{path}{name} ")
    return commands


COMMANDS = found(barechat)
LEAVES = [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)]


def section(name: str) -> str:
    """Return what is said of a command, and of all those of its group."""
    group, _, rest = name.partition(" ")
    return SECTIONS[group] + (SECTIONS[name] if rest else "")


def documented(text: str) -> set[str]:
    """Return the options in the first column of a text's tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `-")]
    return {option for cell in cells for option in re.findall(r"-{1,2}[a-z][a-z-]*", cell)}


def options(command: click.Command) -> dict[str, click.Option]:
    return {name: option for option in command.params if isinstance(option, click.Option) for name in option.opts}


def test_every_command_has_its_section() -> None:
    assert sorted(SECTIONS) == sorted(COMMANDS)


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_is_documented_and_every_documented_option_is_there(name: str) -> None:
    assert documented(section(name)) == set(options(COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_what_an_option_takes_has_the_same_name_in_both(name: str) -> None:
    for flag, option in options(COMMANDS[name]).items():
        if option.metavar and flag.startswith("--"):
            assert f"{flag} {option.metavar}`" in section(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_default_and_variable_is_documented(name: str) -> None:
    for option in options(COMMANDS[name]).values():
        if isinstance(option.default, str | int) and not option.is_flag:
            assert str(option.default) in section(name)
        if option.envvar:
            assert f"`{option.envvar}`" in section(name)


def test_every_command_of_the_chat_is_documented_as_it_is_typed() -> None:
    typed = [f"/{name} {command.takes}".rstrip() for name, command in CHAT_COMMANDS.items()]
    assert re.findall(r"^\| `(/[^`]+)` \|", CHAT, re.MULTILINE) == typed


def test_every_screen_of_the_chat_is_shown() -> None:
    shown = re.findall(r"\(screens/(\S+)\)", CHAT)
    assert sorted(shown) == sorted(path.name for path in (DOCS / "screens").iterdir())


def test_the_options_of_all_are_documented() -> None:
    assert documented(PAGE.partition("\n## ")[0]) == {"--version", "-h", "--help"}


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_parses(line: str) -> None:
    arguments = shlex.split(re.split(r" [<>] | & ?$| +# ", line)[0])[1:]
    command: click.Command = barechat
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    given = [argument for argument in arguments if argument != "--scenario" and not argument.endswith(".toml")]
    command.make_context(command.name, given)
