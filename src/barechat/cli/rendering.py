"""How does a piece of markdown look on a terminal? With rich, but nothing of it lost, hidden or made up.

Tags and images are shown as they were written, links with their address, and lines end where they ended. Code is in
the terminal's own colours, without a background, so that it can be read on any and copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from rich.console import Group
from rich.markdown import CodeBlock, Heading, ListElement, Markdown
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from barechat.cli.markdown import Piece

THEME: Final = Theme({"markdown.code": "cyan", "markdown.h1": "bold underline", "markdown.h2": "bold"})

_CODE_THEME: Final = "ansi_dark"
_PARSER: Final = MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough").disable("image")
_WIDEST_NUMBER: Final = 10  # up to here, the numbers of a list's items stand in one column
_ENDLESS: Final = 2**20  # columns
_TABLE_HEAD: Final = 2  # lines: the names of the columns, and the dashes


class _Heading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from highlighted(str(self.text).rstrip("\n"), self.lexer_name)


class _List(ListElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.list_type == "bullet_list_open":
            yield from super().__rich_console__(console, options)
            return
        start = self.list_start or 0
        last = max(start + len(self.items) - 1, _WIDEST_NUMBER)
        for number, item in enumerate(self.items, start):
            yield from item.render_number(console, options, number, last)


class _Markdown(Markdown):
    elements = Markdown.elements | {
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "ordered_list_open": _List,
    }

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__("", justify="default", hyperlinks=False)
        self.parsed = tokens


def lines_of(console: Console, piece: Piece, *, breaks_code: bool = False) -> list[list[Segment]]:
    """Return a piece as the lines that it takes, without spaces at their ends and empty lines around.

    breaks_code: whether long lines of code are broken too. The terminal does so by itself, and copies them whole.
    """
    options = console.options
    if piece.kind not in {"fence", "code"}:
        lines = [_stripped(line) for line in console.render_lines(rendered(piece), options, pad=False)]
        shown = [at for at, line in enumerate(lines) if line]
        return lines[shown[0] : shown[-1] + 1] if shown else []
    if not breaks_code:
        options = options.update(width=_ENDLESS, no_wrap=True, overflow="ignore")
    return [_stripped(line) for line in console.render_lines(rendered(piece), options, pad=False)]


def rendered(piece: Piece) -> RenderableType:
    """Return a piece as rich draws it."""
    if piece.kind == "fence":
        return Text(piece.text, "dim")
    if piece.kind == "code":
        start, count = len(piece.before), piece.text.count("\n") + 1
        return Group(*highlighted("\n".join([*piece.before, piece.text]), piece.language)[start : start + count])
    tokens = _PARSER.parse(piece.text)
    for token in tokens:
        # An address that stands for itself needn't be told twice.
        token.children = [child for child in token.children or () if child.markup != "autolink"] or None
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return _Markdown(tokens) if tokens else Text(piece.text)  # none: what says where links go


def highlighted(code: str, language: str) -> list[Text]:
    """Return lines of code in colours, where it is known how their language has them."""
    syntax = Syntax(code, language or "text", theme=_CODE_THEME, background_color="default")
    lines = syntax.highlight(code).split("\n", allow_blank=True)
    return [*lines, *(Text() for _ in range(code.count("\n") + 1 - len(lines)))]


def recent(piece: Piece, rows: int, columns: int) -> Piece:
    """Return the end of a piece that is too long for a screen: what may be seen of it, or a screenful more.

    Where it begins stays the same for a screenful, so that the lines on the screen aren't broken anew with each word.
    """
    lines = piece.text.split("\n")
    is_table = len(lines) > _TABLE_HEAD and set(lines[1].strip()) <= set("|:- ")
    head = lines[:_TABLE_HEAD] if is_table and len(lines) > rows + _TABLE_HEAD else []
    text = "\n".join([*head, *lines[-rows:]])
    screenful = rows * columns
    start = max(len(text) - screenful, 0) // screenful * screenful
    return piece._replace(text=text[text.find(" ", start) + 1 :] if start else text)


def _stripped(line: list[Segment]) -> list[Segment]:
    """Return a line without spaces at its end."""
    end = len(line)
    while end and not line[end - 1].text.strip(" "):
        end -= 1
    if not end:
        return []
    return [*line[: end - 1], Segment(line[end - 1].text.rstrip(" "), line[end - 1].style)]
