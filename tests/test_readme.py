"""The README's examples run as they stand, against the simulator."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from barechat.simulator import Simulator

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(number) for number in range(1, len(EXAMPLES) + 1)])
def test_every_python_example_of_the_readme_runs(example: str, tmp_path: Path) -> None:
    with Simulator() as simulator:
        run = subprocess.run(  # noqa: S603 - our own README
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


def test_the_readme_has_examples() -> None:
    assert len(EXAMPLES) >= 3
