"""Schemathesis against the simulator: what the official description allows and forbids, by the thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from describing import run_schemathesis

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_official_description_forbids_is_refused_as_it_says(tmp_path: Path) -> None:
    # The description alone doesn't say what is refused, so that a refusal of what it allows is no difference.
    found = run_schemathesis(tmp_path, "--max-examples=500", "--exclude-checks=positive_data_acceptance")
    assert found.exit_status == 0, found.report
    assert found.statuses[400] > 1500
    assert found.statuses[200] > 500


def test_every_kind_of_request_that_the_api_takes_is_answered_as_it_says(tmp_path: Path) -> None:
    found = run_schemathesis(tmp_path, "--max-examples=60", "--mode=positive", narrowed=True)
    assert found.exit_status == 0, found.report
    # Each kind is also tried without a key and with a wrong one, and the server with a path that isn't there.
    assert set(found.statuses) <= {200, 401, 404}
    assert found.statuses[200] > 3000


def test_refusals_under_a_limit_are_what_the_official_description_says(tmp_path: Path) -> None:
    limit = {"requests_per_min": 60, "burst_s": 20}
    found = run_schemathesis(tmp_path, "--phases=coverage", "--mode=positive", narrowed=True, limit=limit)
    assert found.exit_status == 0, found.report
    assert found.statuses[429] > 1500


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ({"status": 500}, "Server error"),
        ({"status": 201}, "Undocumented status code"),
        ({"content_type": "text/html"}, "Undocumented Content-Type"),
        ({"headers": {"x-request-id": "7"}}, "Response header does not conform to the schema"),
        ({"stream": False, "omit": ["finish_reason"]}, "Response violates schema"),
        ({"stream": True, "error_after": 1}, "SSE event violates schema"),
        ({"stream": True, "garble_after": 1, "garble": "json"}, "SSE event violates schema"),
    ],
    ids=str,
)
def test_schemathesis_finds_a_fault_where_there_is_one(fault: dict[str, Any], finding: str, tmp_path: Path) -> None:
    options = ("--phases=coverage", "--mode=positive", "--include-path-regex=/(streamed|choosing)/")
    found = run_schemathesis(tmp_path, *options, narrowed=True, fault=fault)
    assert found.exit_status == 1
    assert finding in found.report
