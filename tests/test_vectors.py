"""The test data that others wrote is all put to use: no case of any file is left out."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from barechat import ApiError
from support import ByteServer, Connect, head
from vectors import DATA, Case, case_id, cases

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
FILES = sorted(path.stem for path in (DATA / "vectors").glob("*.json"))
TOTAL = 153


def parametrised() -> Iterator[Any]:
    """Yield every value that a test of a module that reads the files is parametrised by."""
    for path in sorted(HERE.glob("test_*.py")):
        source = path.read_text("utf-8")
        if "from vectors import" not in source:
            continue
        for name, test in vars(importlib.import_module(path.stem)).items():
            marks = getattr(test, "pytestmark", []) if name.startswith("test_") else []
            if {mark.name for mark in marks} == {"parametrize"} and "pytest.skip" not in inspect.getsource(test):
                for mark in marks:
                    yield from mark.args[1]


def test_every_case_of_every_file_is_run_by_some_test() -> None:
    values = list(parametrised())
    left_out = {name: [case["id"] for case in cases(name) if case not in values] for name in FILES}
    assert left_out == {name: [] for name in FILES}
    assert sum(len(cases(name)) for name in FILES) == TOTAL


@pytest.mark.parametrize("case", cases("errors"), ids=case_id)
def test_both_clients_try_again_what_the_errors_sources_would_and_keep_the_request_s_id(
    case: Case, connect: Connect, byte_server: ByteServer
) -> None:
    expected, body = case["expected"], json.dumps(case["body"]).encode()
    lines = [f"{name}: {value}" for name, value in case["headers"].items() if name != "content-type"]
    opening = head(*lines, "Connection: close", status=f"{case['status']} Whatever")
    byte_server.answer(opening, body)
    with pytest.raises(ApiError) as caught:
        connect(byte_server.url).chat()
    assert caught.value.request_id == expected.get("request_id")
    assert caught.value.status == case["status"]
    if "retry" in expected:
        assert (len(byte_server.requests) > 1) == expected["retry"]
