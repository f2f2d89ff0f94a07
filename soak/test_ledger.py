"""Does a budget hold in twenty races of eight processes, and in twenty more in which a third of them is killed?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
