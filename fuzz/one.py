"""One target under libFuzzer, in this process: `python fuzz/one.py TARGET [libFuzzer's options] [FILE or CORPUS]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))
atheris: Any = importlib.import_module("atheris")  # found where it was installed: it isn't among the dev tools

with atheris.instrument_imports(include=["barechat"]):
    from wire_targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
