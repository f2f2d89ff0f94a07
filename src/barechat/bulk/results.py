"""What comes of a request in a bulk run, and how is that written as a line? The Batch API's output form, and the cost.

https://platform.openai.com/docs/api-reference/batch/request-output
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from barechat.errors import ApiError, BarechatError
from barechat.records import FREE, Cost, Record, Reply

if TYPE_CHECKING:
    from barechat.bulk.requests import BulkRequest

_ID = "batch_req_"
_ID_DIGITS = 16


class BulkResult(Record, frozen=True, kw_only=True):
    """What came of one request: its `reply`, or the `error` that ended it.

    `custom_id` and `line` say which request; `attempts` how often it was tried, and `cost` what all that cost.
    """

    custom_id: str
    line: int
    reply: Reply | None = None
    error: BarechatError | None = None
    attempts: int = 0
    cost: Cost = FREE

    @property
    def text(self) -> str:
        """The reply's text, "" without one."""
        return "" if self.reply is None else self.reply.text


class Line(msgspec.Struct, kw_only=True):
    """What of an output's line tells whether its request is done."""

    id: str
    custom_id: str
    error: dict[str, Any] | None = None

    @property
    def key(self) -> int:
        """The request's key. Raises ValueError if the line isn't of a bulk run."""
        if not self.id.startswith(_ID) or len(self.id) != len(_ID) + _ID_DIGITS:
            raise ValueError(f"{self.id!r} is no id of a bulk run")
        return int(self.id.removeprefix(_ID), 16)


def line_of(request: BulkRequest, result: BulkResult) -> bytes:
    """Return the output's line of a result, its end included."""
    reply, error = result.reply, result.error
    response: dict[str, Any] | None = None
    if reply is not None:
        response = {"status_code": 200, "request_id": reply.request_id, "body": reply.raw}
    elif isinstance(error, ApiError) and error.status is not None:
        told = {"message": str(error), "type": error.type, "param": error.param, "code": error.code}
        response = {"status_code": error.status, "request_id": error.request_id, "body": {"error": told}}
    usd = result.cost.usd
    line = {
        "id": f"{_ID}{request.key:016x}",
        "custom_id": result.custom_id,
        "response": response,
        "error": None if error is None else {"class": type(error).__name__, "code": error.code, "message": str(error)},
        "attempts": result.attempts,
        "cost": {"usd": None if usd is None else f"{usd:f}", "certainty": result.cost.certainty},
    }
    return msgspec.json.encode(line) + b"\n"
