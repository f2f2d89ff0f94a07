"""How does a run's output become a file of texts, or a table? Written anew from its lines, in their order."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec

from barechat.session_file import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS = ("custom_id", "text", "finish_reason", "error", "message", "cost_usd", "certainty")


def write_texts(output: Path, path: Path) -> None:
    """Write a JSON string a line, the text of choice 0; null for an error."""
    with replaced(path, 0o666) as file:
        for line in _lines(output):
            file.write(msgspec.json.encode(_choice(line).get("text")) + b"\n")


def write_table(output: Path, path: Path) -> None:
    """Write a CSV file with a row for each line."""
    with replaced(path, 0o666) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text)
        rows.writerow(_COLUMNS)
        for line in _lines(output):
            choice, error, cost = _choice(line), line.get("error") or {}, line.get("cost") or {}
            rows.writerow(
                (
                    line["custom_id"],
                    choice.get("text"),
                    choice.get("finish_reason"),
                    error.get("class"),
                    error.get("message"),
                    cost.get("usd"),
                    cost.get("certainty"),
                )
            )
        text.flush()
        text.detach()


def _lines(output: Path) -> Iterator[dict[str, Any]]:
    with output.open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line)


def _choice(line: dict[str, Any]) -> dict[str, Any]:
    """Return the text and finish reason of an answer's first choice; {} for an error."""
    if line.get("error") is not None:
        return {}
    choices = ((line.get("response") or {}).get("body") or {}).get("choices") or [{}]
    message = choices[0].get("message") or {}
    return {"text": message.get("content"), "finish_reason": choices[0].get("finish_reason")}
