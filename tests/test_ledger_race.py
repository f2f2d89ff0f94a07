"""Eight processes of sixty-four tasks race for a budget that fits half of their calls; some are killed on the way."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from racing import Race

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or sys.platform == "darwin", reason="needs a fork that the system's libraries survive"
)


def test_a_budget_that_eight_processes_race_for_is_used_up_and_not_overspent(tmp_path: Path) -> None:
    race = Race(tmp_path)
    race.run(seed=1)
    race.judge(least_settled=0.98, least_in_all=0.98)


@pytest.mark.parametrize("seed", [2, 3])
def test_nor_is_it_overspent_when_a_third_of_them_is_killed_and_what_they_held_stays_held(
    tmp_path: Path, seed: int
) -> None:
    race = Race(tmp_path)
    race.run(seed, killed=3)
    race.judge(least_settled=0.5, least_in_all=0.98)
