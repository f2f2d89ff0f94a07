"""Does a budget hold in twenty races of eight processes, and in twenty more in which a third of them is killed?

And is anything lost, or half done, wherever a writer is killed, alone or while eight threads keep it busy?
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledgers import run_python
from racing import LIMIT_PD, Race

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("killed", [0, 3])
def test_no_race_overspends_its_budget_or_leaves_it_unused(
    tmp_path: Path, seed: int, killed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    race = Race(tmp_path)
    race.run(seed, killed)
    (budget,) = race.ledger.budgets()
    with capsys.disabled():
        shares = budget.spent_pd / LIMIT_PD, budget.held_pd / LIMIT_PD
        print(f"\n{killed} killed, seed {seed}: {shares[0]:.2%} settled, {shares[1]:.2%} held")
    race.judge(least_settled=0.5 if killed else 0.98, least_in_all=0.98)


@pytest.mark.parametrize("how", ["kill_at_each_step(sys.argv[1], turns=3)", "kill_at_any_step(sys.argv[1], 300, 1000)"])
def test_no_kill_loses_what_was_acknowledged(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    (killed,) = run_python(f"import sys; from killing import *; print({how})", tmp_path)
    with capsys.disabled():
        print(f"\n{killed} kills: {how}")
    assert int(killed) > 100
