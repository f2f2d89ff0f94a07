"""What does the time go to? Instructions of a call and of a token, counted, and the functions that they are spent in.

`python -m bench.profiles [LOAD…]` prints them, and files them in results/profiles.txt if all were asked for. Valgrind's
callgrind counts the processor's instructions, and comes to the same figure, to a part in a thousand, on any day and on
a busy machine; so it tells whether a change helped where seconds don't. It counts the process, not the kernel, and an
instruction isn't a time: the ratios are not those of the CPU. The Python functions are cProfile's, whose own work makes
small functions look larger than they are: their numbers of calls are exact, their shares a hint.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.compare import Case
from bench.limits import let_open_many_files
from bench.results import machine
from bench.server import Server, serve_fixed

_FILED: Final = Path(__file__).parent / "results" / "profiles.txt"
_CANDIDATES: Final = ("bare", "barechat")
_MOST_C: Final = 12
_MOST_PYTHON: Final = 25
_LEAST_SHARE: Final = 0.005
_LONGER: Final = 10  # cProfile's runs: they are short
_WHOLE: Final[dict[str, Any]] = {"unit": "call", "shape": "calls", "answer": "whole", "candidates": _CANDIDATES}
_TOKENS: Final[dict[str, Any]] = {"unit": "token", "candidates": _CANDIDATES, "tokens": 100}
LOADS: Final = {
    "call": Case(name="a blocking call", **_WHOLE, warm_up=20, count=100),
    "calls": Case(name="an async call, 10 in flight", **_WHOLE, is_async=True, in_flight=10, warm_up=20, count=100),
    "burst": Case(name="a token of a burst, blocking", **_TOKENS, shape="streams", answer="burst-100", count=5),
    "paced": Case(name="a token alone, blocking", **_TOKENS, shape="streams", answer="paced-100-20", count=1),
    "streams": Case(
        name="a token of a burst, async, 10 in flight",
        **_TOKENS,
        shape="streams",
        answer="burst-100",
        is_async=True,
        in_flight=10,
        warm_up=10,
        count=20,
    ),
}


def main() -> None:
    """Print the profiles that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench.profiles", description=__doc__)
    parser.add_argument("load", nargs="*", help=f"any of: {', '.join(LOADS)} (all)")
    asked = parser.parse_args().load
    if unknown := set(asked) - set(LOADS):
        parser.error(f"not known: {', '.join(sorted(unknown))}")
    let_open_many_files()
    lines = [f"Made by `python -m bench.profiles` on {', '.join(map(str, machine().values()))}"]
    with serve_fixed() as server:
        for name in asked or LOADS:
            for line in _told(LOADS[name], server):
                print(line)
                lines.append(line)
    if not asked:
        _FILED.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


def _told(case: Case, server: Server) -> Iterator[str]:
    yield f"\n{case.name}"
    if shutil.which("valgrind") is not None:
        counted = {name: _instructions(case.order(name, server)) for name in _CANDIDATES}
        base = counted["bare"].total()
        for name, functions in counted.items():
            total = functions.total()
            yield f"  {name}: {total:,.0f} instructions a {case.unit}, {total / base:.2f} x bare"
        yield "  of barechat's, by C function:"
        ours = counted["barechat"]
        for function, number in ours.most_common(_MOST_C):
            yield f"    {number / ours.total():6.1%}  {function}"
    yield "  of barechat's, by Python function (cProfile; calls a unit, share of the time):"
    order = case.order("barechat", server)
    found = _job([sys.executable], {**order, "count": _LONGER * order["count"], "profile": True})
    total_s = sum(function["own_s"] for function in found["functions"])
    rooms: Counter[str] = Counter()
    for function in found["functions"]:
        rooms[_room(function["where"])] += function["own_s"]
    for function in sorted(found["functions"], key=lambda one: -one["own_s"])[:_MOST_PYTHON]:
        calls, share = function["calls"] / found["units"], function["own_s"] / total_s
        yield f"    {calls:6.2f} {share:6.1%}  {_short(function['where'])}"
    yield "  the same, by whose they are:"
    shares = {room: seconds / total_s for room, seconds in rooms.most_common()}
    for room, share in shares.items():
        if share >= _LEAST_SHARE:
            yield f"           {share:6.1%}  {room}"
    yield f"           {sum(share for share in shares.values() if share < _LEAST_SHARE):6.1%}  the rest"


def _instructions(order: dict[str, Any]) -> Counter[str]:
    """Return what a unit takes, by C function: twice as many less once, so that starting and warming up drop out."""
    once, units = _callgrind(order)
    twice, units_of_twice = _callgrind({**order, "count": 2 * order["count"]})
    twice.subtract(once)
    return Counter({name: number / (units_of_twice - units) for name, number in twice.items()})


def _callgrind(order: dict[str, Any]) -> tuple[Counter[str], int]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        units = _job(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable], order)["units"]
        said = subprocess.run(
            ["callgrind_annotate", "--threshold=100", "--auto=no", str(out)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    functions: Counter[str] = Counter()
    for line in said.splitlines():
        if found := re.match(r"\s*([\d,]+) \(.*?\)  (\S*?:)?(\S+)", line):
            name = re.sub(r"'\d+$", "", found[3])  # a recursion is no other function
            functions[name] += int(found[1].replace(",", ""))
    functions.pop("PROGRAM", None)
    return functions, units


def _job(python: list[str], order: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [*python, "-m", "bench.job", json.dumps(order)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"a job failed: {order}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _short(where: str) -> str:
    return re.sub(r".*/(?:(?:site-packages|src|python3\.\d+)/|(?=bench/))", "", where)


def _room(where: str) -> str:
    """Return whose a function is: barechat's file, or the package."""
    short = _short(where)
    if short.startswith("barechat/"):
        return short.partition(":")[0]
    if short.startswith(("~", "<", "{")):
        return "C functions, called from Python"
    return short.partition("/")[0].partition(":")[0]


if __name__ == "__main__":
    main()
