"""How fast is it on this machine? Measures the workloads that are named, or all, and files their results."""

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import bulk, ledger, simulator
from bench.results import Results, Row, machine, table, versions, write

# name: what measures it, given the number of runs
_WORKLOADS: Final[dict[str, Callable[[int], list[Row]]]] = {
    "ledger": ledger.measure,
    "simulator": simulator.measure,
    "bulk": bulk.measure,
}
_RESULTS: Final = Path(__file__).parent / "results"
_RUNS: Final = 5
_LONG: Final = {"bulk"}  # ten minutes: only when named


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"any of: {', '.join(_WORKLOADS)} (all but {', '.join(_LONG)})")
    parser.add_argument("--runs", type=int, default=_RUNS, help=f"runs that a figure is the median of ({_RUNS})")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the folder of the results (bench/results)")
    arguments = parser.parse_args()
    if unknown := set(arguments.workload) - set(_WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    for name in arguments.workload or [name for name in _WORKLOADS if name not in _LONG]:
        results = Results(
            workload=name,
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            machine=machine(),
            versions=versions(),
            rows=_WORKLOADS[name](arguments.runs),
        )
        print(table(results))
        print(f"written to {write(results, arguments.results)}")


if __name__ == "__main__":
    main()
