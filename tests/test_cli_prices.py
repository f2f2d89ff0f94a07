"""`barechat prices`, run as a shell runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from barechat.money.prices import Prices
from commands import run

if TYPE_CHECKING:
    from pathlib import Path


def test_every_model_stands_on_lines_that_fit_80_columns() -> None:
    done = run("prices", "--on", "2026-11-26")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[3:-3] if not line.startswith(" ")] == list(Prices.builtin().models)
    assert "gpt-4o".ljust(31) + "    2.5   1.25      -     10   128,000 2024-10-02" in lines
    assert "  audio".ljust(31) + "     32                   64" in lines
    assert Prices.builtin().version in lines[-1]


def test_a_model_is_shown_with_all_its_tiers_long_context_sizes_and_sources() -> None:
    done = run("prices", "openai/gpt-5.4-2026-03-05", "--on", "2026-11-26")
    assert done.returncode == 0
    assert (
        done.stdout
        == """\
Dollars per million tokens of gpt-5.4 on 2026-11-26
'openai/gpt-5.4-2026-03-05' is priced as gpt-5.4

tier              input cached  write output
standard            2.5   0.25      -     15
  over 272,000        5    0.5      -   22.5
flex               1.25   0.13      -    7.5
  over 272,000      2.5   0.25      -  11.25
priority              5    0.5      -     30
  over 272,000    not sold
batch              1.25   0.13      -    7.5
  over 272,000      2.5   0.25      -  11.25

since 2026-03-05, context window 1,050,000 tokens, longest reply 128,000 tokens
source: genai-prices, litellm; read 2026-11-26
"""
    )


def test_another_day_has_its_own_prices_and_names_the_others() -> None:
    done = run("prices", "o3", "--on", "2025-05-01")
    assert "standard             10    2.5      -     40\n" in done.stdout
    assert done.stdout.endswith("other prices: --on 2025-06-10\n")


def test_a_model_without_a_price_is_an_error_that_names_near_ones() -> None:
    done = run("prices", "gpt-4o-mimi")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no price is known for 'gpt-4o-mimi': it is unpriced, and never $0. ")
    assert "Known are gpt-4o-mini," in done.stderr
    done = run("prices", "qu\x1b[2Jux")
    assert "'qu\\x1b[2Jux'" in done.stderr
    assert done.stderr.endswith("`barechat prices` lists those that are known.\n")


def test_a_day_before_a_model_s_first_price_is_an_error_that_says_when_it_began() -> None:
    done = run("prices", "o3", "--on", "2025-04-15")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no price of o3 is known on 2025-04-15: the first is since 2025-04-16\n"


def test_json_has_the_figures_as_decimal_strings() -> None:
    table = json.loads(run("prices", "--format", "json", "--on", "2026-11-26").stdout)
    assert (table["version"], table["on"]) == (Prices.builtin().version, "2026-11-26")
    assert [model["model"] for model in table["models"]] == list(Prices.builtin().models)
    one = json.loads(run("prices", "gpt-5.5", "--format", "json", "--on", "2026-11-26").stdout)["models"]
    assert one == [model for model in table["models"] if model["model"] == "gpt-5.5"]
    assert one[0] == {
        "model": "gpt-5.5",
        "since": "2026-04-24",
        "context_window": 1_050_000,
        "max_output": 128_000,
        "source": "genai-prices, litellm; read 2026-11-26",
        "tiers": {
            "standard": {
                "input": "5",
                "cached": "0.5",
                "output": "30",
                "long_context": {"over": 272_000, "input": "10", "cached": "1", "output": "45"},
            },
            "flex": {
                "input": "2.5",
                "cached": "0.25",
                "output": "15",
                "long_context": {"over": 272_000, "input": "5", "cached": "0.5", "output": "22.5"},
            },
            "priority": {"input": "12.5", "cached": "1.25", "output": "75", "long_context": {"over": 272_000}},
            "batch": {
                "input": "2.5",
                "cached": "0.25",
                "output": "15",
                "long_context": {"over": 272_000, "input": "5", "cached": "0.5", "output": "22.5"},
            },
        },
    }


def test_a_file_of_one_s_own_is_shown_and_one_that_can_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    rates = {"input": "1", "output": "2", "audio_input": "3", "audio_output": "4"}
    llama = {"model": "llama-3", "tiers": {"standard": {"input": "0", "output": "0"}}}
    path.write_text(json.dumps({"rows": [llama, {"model": "mine", "tiers": {"batch": rates}}]}), "utf-8")
    listed = run("prices", BARECHAT_PRICES=str(path)).stdout
    assert "llama-3".ljust(31) + "      0      -      -      0           always" in listed.splitlines()
    told = run("prices", "mine", BARECHAT_PRICES=str(path)).stdout
    assert "  audio               3                    4\n\nsince always\n" in told
    path.unlink()
    done = run("prices", BARECHAT_PRICES=str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: BARECHAT_PRICES: the price file {path} can't be read: ")
