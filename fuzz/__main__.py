"""How long fuzzing is run: `make fuzz`, or `python fuzz [--runs N] [TARGET…]`.

Each target of tests/wire_targets.py runs in a process of its own, from a corpus that begins with the test data of
others and grows in fuzz/corpus. A finding's input is kept in fuzz/findings, and run again with
`python fuzz/one.py TARGET FILE`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))

from wire_targets import TARGETS, seeds  # noqa: E402 - found by the line above

DEFAULT_RUNS = 1_000_000
LONGEST_INPUT = {"decoder": 256, "fold": 1024, "errors": 1024, "headers": 512}  # bytes
INPUT_TIMEOUT_S = 10  # on an input of that length only what isn't linear takes as long
MEMORY_MB = 2048
TOLD_LINES = 60  # of what libFuzzer says to a finding


def main() -> int:
    """Run the targets that were asked for; return 1 if any has a finding."""
    arguments = _arguments()
    results = {name: _fuzz(name, arguments.runs) for name in arguments.targets or TARGETS}
    failed = [name for name, (is_sound, _) in results.items() if not is_sound]
    for name, (is_sound, said) in results.items():
        print(f"{name}: {'sound' if is_sound else 'A FINDING'}; {said}")
    where = f"; see {HERE / 'findings'}" if failed else ""
    print(f"fuzz: {len(results) - len(failed)} of {len(results)} targets sound{where}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz what reads a server's bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS, help="inputs for each target (default %(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return arguments


def _fuzz(name: str, runs: int) -> tuple[bool, str]:
    """Run one target; return whether it held, and how many inputs it took in how long."""
    corpus, findings = HERE / "corpus" / name, HERE / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_len={LONGEST_INPUT[name]}", f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}"]
    files = [f"-dict={HERE / 'words.dict'}", f"-artifact_prefix={findings}/{name}-", str(corpus)]
    command = [sys.executable, str(HERE / "one.py"), name, f"-runs={runs}", "-print_final_stats=1", *limits, *files]
    print(f"{name}: {runs} inputs …", flush=True)
    start = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    took_s = time.monotonic() - start
    said = run.stdout.decode("utf-8", "replace")
    if run.returncode:
        print("\n".join(said.splitlines()[-TOLD_LINES:]))
    done = re.search(r"stat::number_of_executed_units: *(\d+)", said)
    return run.returncode == 0, f"{done[1] if done else 'unknown'} inputs in {took_s:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
