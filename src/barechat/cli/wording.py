"""In which words does the command tell costs, retries, verdicts and errors? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barechat.errors import BarechatError
    from barechat.ledger.reads import Abandoned
    from barechat.records import Attempt, Cost, Usage

_FIRST_FAILURE = 400  # of HTTP's statuses

ENDS = {
    "limited": "limited: the server cut the answer at a length limit",
    "filtered": "filtered: the server's content filter cut the answer",
    "unknown": "unknown: the server never said why the answer ended; it may not be whole",
    "partial": "partial: interrupted, so this is not the whole answer",
}


def dollars(cost: Cost) -> str:
    """Write a cost to its last digit, and how sure it is: "$0.0000222 exact", "at most $0.0098", "unpriced"."""
    amount = _amount(cost)
    if amount is None:
        return "unpriced"
    return {"bound": f"at most {amount}", "estimate": f"about {amount}"}.get(cost.certainty, f"{amount} exact")


def marked_dollars(cost: Cost, *, is_unicode: bool = True) -> str:
    """Write the same with a mark for how sure it is: "$0.0000222", "≤ $0.0098", "≈ $0.0098", "unpriced"."""
    amount = _amount(cost)
    if amount is None:
        return "unpriced"
    marks = {"bound": "≤ ", "estimate": "≈ "} if is_unicode else {"bound": "<= ", "estimate": "~ "}
    return f"{marks.get(cost.certainty, '')}{amount}"


def decimal_of(picodollars: int) -> str:
    """Write an amount as dollars for a program, to the picodollar: "1234.5", "0.0000222"."""
    from barechat.records import PICODOLLARS_PER_DOLLAR  # noqa: PLC0415 - for a quick `barechat --help`

    whole, part = divmod(picodollars, PICODOLLARS_PER_DOLLAR)
    return f"{whole}.{f'{part:012d}'.rstrip('0').ljust(2, '0')}"


def counted(count: int, noun: str) -> str:
    """Write how many there are: "1 attempt", "1,200 attempts"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def held_by(held: Abandoned) -> str:
    """Write what attempts that nobody will settle hold, as a sentence."""
    from barechat.records import dollars  # noqa: PLC0415 - for a quick `barechat --help`

    attempts = counted(held.attempts, "attempt")
    return (
        f"{dollars(held.picodollars)} is held by {attempts} of programs that died, or of unknown outcome"
        f"{unpriced_of(held)}."
    )


def unpriced_of(held: Abandoned) -> str:
    """Write how many of the attempts have no price, as a sentence's end; nothing if each has one."""
    return f"; {held.unpriced:,} of them {'is' if held.unpriced == 1 else 'are'} unpriced" if held.unpriced else ""


def per_million(rate_pd: int) -> str:
    """Write a price of so many picodollars a token as dollars per million tokens: "2.5", "0.0025"."""
    whole, part = divmod(rate_pd, 10**6)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def bill(
    dot: str,
    model: str,
    usage: Usage | None,
    cost: Cost,
    *,
    rounds: int = 1,
    attempts: int = 1,
    seconds: float | None = None,
) -> str:
    """Write the line that ends a question: model, tokens in and out, cost, rounds and attempts if several, seconds."""
    parts = [
        model,
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens" if usage else "",
        dollars(cost),
        f"{rounds} rounds" if rounds > 1 else "",
        f"{attempts} attempts" if attempts > max(rounds, 1) else "",
        f"{seconds:.1f} s" if seconds is not None else "",
    ]
    return dot.join(part for part in parts if part)


def retry(attempt: Attempt) -> str:
    """Write the line that a person sees while a failed try is waited out."""
    return f"{_why(attempt)}; trying again in {attempt.delay_s or 0:.1f} s"


def failure_facts(dot: str, error: BarechatError) -> str:
    """Write what else is known of an error: tries, request id, and cost if it may have cost anything; or nothing."""
    count, cost = len(error.attempts), error.cost
    parts = [
        f"{count} attempts" if count > 1 else "",
        dollars(cost) if cost is not None and cost.picodollars != 0 else "",
    ]
    if any(parts) and error.request_id:
        parts.append(f"request {error.request_id}")
    return dot.join(part for part in parts if part)


def _amount(cost: Cost) -> str | None:
    if cost.usd is None:
        return None
    whole, _, part = f"{cost.usd:f}".partition(".")
    return f"${whole}.{part.rstrip('0').ljust(2, '0')}"


def _why(attempt: Attempt) -> str:
    if attempt.status is not None and attempt.status >= _FIRST_FAILURE:
        return f"{attempt.status} {attempt.code or attempt.error}"
    return " ".join((attempt.message or str(attempt.error)).split()).rstrip(".")
