"""The tests' own fixtures, as far as they are needed here."""

from __future__ import annotations

from conftest import _environment, connect, kind

__all__ = ["_environment", "connect", "kind"]
