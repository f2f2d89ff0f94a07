"""What `barechat chat` shows of markdown: the pieces that it finishes, and how they look."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from barechat.cli.markdown import Blocks, Piece, with_code_joined
from barechat.cli.rendering import THEME, lines_of, recent

EVERYTHING = """\
# A heading
and a paragraph
of two lines

Title
-----
1. one
   - inner
2. two

   ```sh
   - no item
   ```

   more
9) another list

- a
* b

> a quote
that goes on

| a | b |
|---|---|
| 1 | 2 |
***
~~~~python
def f():

    ```
~~~
~~~~
text right after
```
never closed"""


def pieces(*chunks: str) -> list[Piece]:
    blocks = Blocks()
    found = [piece for chunk in chunks for piece in blocks.feed(chunk)]
    return found + blocks.end()


def texts(markdown: str) -> list[str]:
    return [piece.text for piece in pieces(markdown)]


def shown(markdown: str, width: int = 40) -> str:
    """Return what a terminal without colours shows of a text."""
    console = Console(file=io.StringIO(), width=width, theme=THEME, color_system=None)
    lines = [line for piece in pieces(markdown) for line in lines_of(console, piece)]
    return "\n".join("".join(segment.text for segment in line) for line in lines)


# Where a piece ends


def test_pieces_are_the_blocks_of_markdown_items_and_lines_of_code() -> None:
    assert [(piece.kind, piece.text) for piece in pieces(EVERYTHING)] == [
        ("text", "# A heading"),
        ("text", "and a paragraph\nof two lines"),
        ("text", "Title\n-----"),
        ("item", "1. one\n   - inner"),
        ("item", "2. two\n\n   ```sh\n   - no item\n   ```\n\n   more"),
        ("item", "9) another list"),
        ("item", "- a"),
        ("item", "* b"),
        ("text", "> a quote\nthat goes on"),
        ("text", "| a | b |\n|---|---|\n| 1 | 2 |\n***"),
        ("fence", "~~~~python"),
        ("code", "def f():"),
        ("code", ""),
        ("code", "    ```"),
        ("code", "~~~"),
        ("fence", "~~~~"),
        ("text", "text right after"),
        ("fence", "```"),
        ("code", "never closed"),
    ]


def test_a_text_split_anywhere_has_the_same_pieces() -> None:
    for cut in range(len(EVERYTHING)):
        assert pieces(EVERYTHING[:cut], EVERYTHING[cut:]) == pieces(EVERYTHING)


@given(st.text(alphabet="a1 \n-*#>|`~.)\t", max_size=80))
def test_any_text_in_single_characters_has_the_same_pieces_and_loses_no_word(text: str) -> None:
    found = pieces(text)
    assert pieces(*text) == found
    kept = "".join(piece.text for piece in found)
    assert re.sub(r"[\s\d]", "", kept) == re.sub(r"[\s\d]", "", text)


def test_a_piece_is_there_as_soon_as_nothing_can_change_it() -> None:
    blocks = Blocks()
    assert blocks.feed("One\ntwo") == []
    assert blocks.tail == Piece("text", "One\ntwo")
    assert blocks.feed("\n\nThr") == [Piece("text", "One\ntwo")]
    assert blocks.tail == Piece("text", "Thr")
    assert blocks.feed("ee\n\n```py\nx = 1\ny") == [
        Piece("text", "Three"),
        Piece("fence", "```py"),
        Piece("code", "x = 1", is_joined=True, language="py"),
    ]
    assert blocks.tail == Piece("code", "y", is_joined=True, language="py", before=("x = 1",))


def test_items_are_numbered_on_from_their_list_s_first() -> None:
    assert texts("3. a\n3. b\n   more\n1. c") == ["3. a", "4. b\n   more", "5. c"]
    assert texts("9. a\n9. b\n   more") == ["9. a", "10. b\n    more"]
    assert texts("1. a\n1) b") == ["1. a", "1) b"]


def test_a_paragraph_is_broken_by_a_list_only_as_commonmark_has_it() -> None:
    assert texts("born in\n1977. And") == ["born in\n1977. And"]
    assert texts("see\n1. this\n- that") == ["see", "1. this", "- that"]
    assert texts("a\n-\nb") == ["a\n-\nb"]


def test_an_item_follows_its_neighbour_closely_where_it_was_written_so() -> None:
    assert [piece.is_joined for piece in pieces("- a\n- b\n\n- c\n* d")] == [False, True, False, False]


def test_no_piece_of_a_long_reply_is_looked_at_again() -> None:
    """What a piece carries along of the others is no more than 32 lines, however long the reply."""
    found = pieces("```\n" + "code\n" * 5000 + "```\n" + "- item\n" * 5000)
    assert len(found) == 10_002
    assert max(len(piece.before) for piece in found) == 32
    assert max(len(piece.text) for piece in found) == len("- item")


def test_code_that_came_at_once_is_laid_out_at_once_with_what_is_before_it() -> None:
    """Each line by itself would be coloured with up to 32 before it, some 24 times as much."""
    blocks = Blocks()
    first = list(with_code_joined(blocks.feed("```py\n" + "x = 1\n" * 100)))
    second = list(with_code_joined(blocks.feed("y = 2\n" * 5000 + "```\n- a\n- b\nx = 3\n")))
    assert [(piece.kind, piece.text.count("\n") + 1, len(piece.before)) for piece in (*first, *second)] == [
        ("fence", 1, 0),
        ("code", 100, 0),
        ("code", 5000, 20),
        ("fence", 1, 0),
        ("item", 1, 0),
    ]


# How it looks


def test_nothing_is_lost_hidden_or_made_up() -> None:
    assert shown("<b>bold</b> vector<int> &amp; [a link](http://e/x) ![img](http://e/y)", 90) == (
        "<b>bold</b> vector<int> & a link (http://e/x) !img (http://e/y)"
    )
    assert shown("[ref]: http://e/x") == "[ref]: http://e/x"
    assert shown("[red]no markup[/red] :smile:") == "[red]no markup[/red] :smile:"


def test_lines_end_where_they_ended() -> None:
    assert shown("roses\nviolets") == "roses\nviolets"


def test_lists_tables_and_code_are_laid_out_and_no_line_ends_with_spaces() -> None:
    assert shown("# Plan\n1. a\n   - b\n2. c\n\n| x | y |\n|---|--:|\n| 1 | 2 |\n```py\nif x:\n    y\n```") == (
        "Plan\n  1 a\n     • b\n  2 c\n x  y\n ────\n 1  2\n```py\nif x:\n    y\n```"
    )


def test_right_to_left_text_and_wide_characters_are_left_to_the_terminal() -> None:
    assert shown("שלום **עולם** 🎉 مرحبا") == "שלום עולם 🎉 مرحبا"


def test_the_colours_of_a_line_of_code_come_from_the_lines_before_it() -> None:
    console = Console(file=io.StringIO(), theme=THEME, color_system="standard", force_terminal=True)
    _, *code, _ = pieces('```py\n"""\nfor one in all\n```')
    for found in (code, with_code_joined(code)):
        *_, last = [line for piece in found for line in lines_of(console, piece)]
        assert len({segment.style for segment in last}) == 1  # a text's, and no statement's


@given(st.text(alphabet="ab\x000 \n-*#>|`~.)[](<!&:\\_\u202e🎉", max_size=60))
def test_any_text_can_be_shown(text: str) -> None:
    shown(text)


def test_of_a_piece_that_is_longer_than_the_screen_its_end_is_drawn() -> None:
    growing = ("word " * length for length in range(1000))
    seen = [(len(text), len(recent(Piece("text", text), 20, 80).text)) for text in growing]
    assert all(min(length, 1595) <= shown <= 3200 for length, shown in seen)
    assert len({length - shown for length, shown in seen}) == 3  # it begins elsewhere once a screenful
    table = "| a |\n|---|\n" + "".join(f"| {number} |\n" for number in range(100)) + "| end |"
    assert recent(Piece("text", table), 3, 80).text == "| a |\n|---|\n| 98 |\n| 99 |\n| end |"
    short = Piece("text", "short")
    assert recent(short, 20, 80) == short
