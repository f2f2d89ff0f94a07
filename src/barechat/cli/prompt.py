"""How does a person type a message? Several lines, with a history, and a line at the bottom that tells the cost."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.utils import is_dumb_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from prompt_toolkit.key_binding import KeyPressEvent


class Prompt:
    """The place where messages are typed."""

    def __init__(self, history: Path | None, toolbar: Callable[[int], str], commands: Iterable[str]) -> None:
        """Make it.

        history: the file that keeps what is sent, for its owner alone; None keeps it until the end.
        toolbar: returns the line at the bottom, for so many columns.
        commands: what the Tab key completes.
        """
        self._session: PromptSession[str] = PromptSession(
            [("bold", "> ")],
            multiline=True,
            prompt_continuation=[("", "  ")],
            key_bindings=_keys(),
            history=_history(history),
            bottom_toolbar=lambda: toolbar(self._session.output.get_size().columns),
            completer=WordCompleter([f"/{name}" for name in commands], sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            enable_open_in_editor=True,
        )

    @property
    def has_toolbar(self) -> bool:
        """Whether the terminal can show a line at the bottom."""
        return not is_dumb_terminal()

    def ask(self, draft: str = "") -> str:
        """Return what was typed and sent, beginning with a draft.

        Raises:
            KeyboardInterrupt: Ctrl-C, where nothing was typed. EOFError: Ctrl-D there.
        """
        return self._session.prompt(default=draft)


def _keys() -> KeyBindings:
    keys = KeyBindings()
    is_typing = has_focus(DEFAULT_BUFFER)  # and not searching the history

    @keys.add("enter", filter=is_typing)
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=is_typing)
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c", filter=is_typing)
    def clear(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset(append_to_history=True)
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys


class _FileHistory(FileHistory):
    """A history whose file may come to be unwritable: what can't be kept needn't keep anyone from talking."""

    def load_history_strings(self) -> Iterable[str]:
        with contextlib.suppress(OSError):
            yield from super().load_history_strings()

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def _history(path: Path | None) -> History:
    if path is None:
        return InMemoryHistory()
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()  # likewise
    return _FileHistory(path)
