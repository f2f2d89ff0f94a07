"""How fast is it on this machine? Measures the workloads that are named, or all, and files their results."""

import argparse
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench import bulk, clients, imports, install, ledger, simulator
from bench.bounds import judged
from bench.compare import MODULES
from bench.results import Results, Row, machine, table, versions, write

# name: what measures it, given the number of runs and the candidates, all if there are none
_WORKLOADS: Final[dict[str, Callable[[int, Sequence[str]], list[Row]]]] = {
    "install": install.measure,
    "imports": imports.measure,
    **{name: clients.measures(name) for name in clients.CASES},
    "ledger": ledger.measure,
    "simulator": simulator.measure,
    "bulk": bulk.measure,
}
_RESULTS: Final = Path(__file__).parent / "results"
_RUNS: Final = 5
_LONG: Final = {"bulk"}  # twelve minutes: only when named


def main() -> None:
    """Measure what the arguments name."""
    arguments = _arguments()
    for name in arguments.workload or [name for name in _WORKLOADS if name not in _LONG]:
        rows = _WORKLOADS[name](arguments.runs, arguments.only)
        results = Results(
            workload=name,
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            machine=machine(),
            versions=versions(),
            rows=rows,
            bounds=list(judged(name, rows)),
        )
        print(table(results))
        if arguments.only:
            print("not written: only some of the candidates were measured")
        else:
            print(f"written to {write(results, arguments.results)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"any of: {', '.join(_WORKLOADS)} (all but {', '.join(_LONG)})")
    parser.add_argument("--only", default="", help=f"the candidates, by comma, of: {', '.join(MODULES)}")
    parser.add_argument("--runs", type=int, default=_RUNS, help=f"runs that a figure is the median of ({_RUNS})")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the folder of the results (bench/results)")
    arguments = parser.parse_args()
    arguments.only = [name for name in arguments.only.split(",") if name]
    for known, given in ((_WORKLOADS, arguments.workload), (MODULES, arguments.only)):
        if unknown := set(given) - set(known):
            parser.error(f"not known: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
