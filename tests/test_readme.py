"""The examples of the README and of docs/ run as they stand, against the simulator."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from barechat.simulator import Simulator
from pictures import PDF, PNG, WAV

ROOT = Path(__file__).parent.parent
EXAMPLES = {
    f"{page} {number}": example
    for page in (
        "README.md",
        "docs/bulk.md",
        "docs/conversations.md",
        "docs/files.md",
        "docs/money.md",
        "docs/tools.md",
    )
    for number, example in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL), 1
    )
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_every_python_example_runs(example: str, tmp_path: Path) -> None:
    for name, data in (("chart.png", PNG), ("question.wav", WAV), ("letter.pdf", PDF)):
        (tmp_path / name).write_bytes(data)
    with Simulator() as simulator:
        run = subprocess.run(  # noqa: S603 - our own pages
            [sys.executable, "-W", "error", "-c", example],
            env={"OPENAI_API_KEY": "sk-readme", "OPENAI_BASE_URL": simulator.url, "PYTHONUTF8": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
