"""What does the line at the bottom of `barechat chat` say? The model, the last turn and the session. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barechat.cli.wording import marked_dollars
from barechat.records import Cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from barechat.cli.turn import Turn
    from barechat.money.meter import CostTracker


def toolbar(
    columns: int,
    model: str,
    name: str | None,
    last: Turn | None,
    session: CostTracker,
    *,
    measure: Callable[[str], int] = len,
    is_unicode: bool = True,
) -> str:
    """Return a line of at most so many columns, which says less the fewer they are.

    name: the session's. measure: how many columns a text takes.
    """
    bar, ellipsis = ("│", "…") if is_unicode else ("|", "~")

    def marked(cost: Cost) -> str:
        return marked_dollars(cost, is_unicode=is_unicode)

    totals = session.totals
    spent = marked(Cost.sum(session.by_certainty.values()))
    title = f"session {name}" if name else "session"
    if last is None:
        ways = ["Enter sends", "Esc Enter begins a line", "/help"]
        named = [model, *([title] if name else [])]
        all_said = [[*named, *ways], [model, *ways], [model, "/help"]]
    else:
        usage = last.reply.usage if last.reply is not None else None
        used = f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}" if usage else ""
        used_in_all = f"{totals.input_tokens:,} + {totals.output_tokens:,}"
        cost = marked(last.cost)
        turn = f"turn {used} {cost}" if usage else f"turn {cost}"
        all_said = [
            [model, f"turn {used} tokens {cost}" if usage else turn, f"{title} {used_in_all} tokens {spent}"],
            [model, turn, f"{title} {used_in_all} {spent}"],
            [model, turn, f"session {used_in_all} {spent}"],
            [model, f"turn {cost}", f"session {spent}"],
            [f"turn {cost}", f"session {spent}"],
        ]
    lines = [f" {f' {bar} '.join(parts)} " for parts in all_said]
    for line in lines:
        if measure(line) <= columns:
            return line
    line = lines[-1]
    while line and measure(line) >= columns:
        line = line[:-1]
    return line + ellipsis
