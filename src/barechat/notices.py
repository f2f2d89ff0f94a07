"""How a caller is warned: at their own line, however deep in barechat the reason was found."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


def warn(said: str) -> None:
    """Warn by a UserWarning that stands at the line outside of barechat from which it was called."""
    level = 2
    caller: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented, and inspect takes 6 ms to import
    while caller is not None and caller.f_globals.get("__name__", "").partition(".")[0] == "barechat":
        caller, level = caller.f_back, level + 1
    warnings.warn(said, stacklevel=level)
