"""What a call takes besides messages and model, for methods that hand it on: the API's parameters, and our policies."""

from __future__ import annotations

import os  # noqa: TC003 - whoever takes the options can have their types resolved
from collections.abc import Mapping  # noqa: TC003 - likewise
from typing import Any

from barechat.parameters import Parameters, ParametersBesideTools
from barechat.settings import Timeouts  # noqa: TC001 - likewise
from barechat.wire.retry import RetryPolicy  # noqa: TC001 - likewise


class RunOptions(ParametersBesideTools, total=False):
    """What `Client.chat` takes besides messages and model, but for `tools`."""

    timeouts: Timeouts | None
    retry: RetryPolicy | None
    tags: Mapping[str, str] | None
    headers: Mapping[str, str] | None
    extra: Mapping[str, Any] | None


class CallOptions(RunOptions, Parameters, total=False):
    """What `Client.chat` takes besides messages and model."""


class BulkOptions(CallOptions, total=False):
    """What `Client.bulk` takes besides requests and model."""

    output: str | os.PathLike[str] | None
    ordered: bool
    retry_failed: bool
    rpm: float | None
    tpm: float | None
    concurrency: int | None
