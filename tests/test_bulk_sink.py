"""What an output holds: one line a request, whatever kill or second run comes between."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from barechat import BulkResult, ConfigurationError, Cost, Reply, ServerFailed
from barechat.bulk.hashes import Hashes, hash_of
from barechat.bulk.requests import BulkRequest
from barechat.bulk.results import line_of
from barechat.bulk.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

COST = Cost(picodollars=22_200_000, certainty="exact")


def request(name: str, **body: Any) -> BulkRequest:
    return BulkRequest(custom_id=name, body=body, line=1)


def reply(text: str) -> Reply:
    raw = {"choices": [{"message": {"content": text}}]}
    return Reply(id="", model="m", choices=(), usage=None, cost=COST, verdict="complete", raw=raw, request_id="req_1")


def answered(asked: BulkRequest, text: str = "Hi") -> bytes:
    result = BulkResult(custom_id=asked.custom_id, line=1, reply=reply(text), attempts=2, cost=COST)
    return line_of(asked, result)


def failed(asked: BulkRequest) -> bytes:
    error = ServerFailed("it failed", status=500, code="oops", request_id="req_2")
    return line_of(asked, BulkResult(custom_id=asked.custom_id, line=1, error=error, attempts=5))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def names(path: Path) -> list[str]:
    return [line["custom_id"] for line in lines(path)]


def written(path: Path, *items: bytes | tuple[BulkRequest, bytes]) -> None:
    sink = Sink(path)
    for item in items:
        assert isinstance(item, tuple)
        sink.write(*item)
    sink.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replies.jsonl"


def test_a_line_has_the_batch_api_s_output_form_and_the_cost() -> None:
    asked = request("a", x=1)
    assert json.loads(answered(asked)) == {
        "id": f"batch_req_{asked.key:016x}",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "req_1", "body": reply("Hi").raw},
        "error": None,
        "attempts": 2,
        "cost": {"usd": "0.0000222", "certainty": "exact"},
    }


def test_an_error_s_line_has_its_class_and_what_the_server_said() -> None:
    line = json.loads(failed(request("a")))
    assert line["error"] == {"class": "ServerFailed", "code": "oops", "message": "it failed"}
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["code"]) == (500, "oops")


def test_an_error_that_the_server_knows_nothing_of_has_no_response() -> None:
    line = json.loads(line_of(request("a"), BulkResult(custom_id="a", line=1, error=ConfigurationError("no"))))
    assert line["response"] is None


def test_what_is_on_disk_is_done_and_what_isn_t_is_not(path: Path) -> None:
    written(path, (request("a"), answered(request("a"))), (request("b"), failed(request("b"))))
    sink = Sink(path)
    assert sink.key_of(request("a")) == request("a").key
    assert sink.key_of(request("b")) == request("b").key
    assert sink.key_of(request("c")) is None
    sink.close()


def test_a_line_is_in_the_file_as_soon_as_it_is_written(path: Path) -> None:
    sink = Sink(path)
    sink.write(request("a"), answered(request("a")))
    assert names(path) == ["a"]
    sink.close()


@pytest.mark.parametrize("kept", [0, 1, 50, 10_000])
def test_a_line_torn_anywhere_is_cut_off_and_its_request_is_not_done(path: Path, kept: int) -> None:
    whole, torn = answered(request("a")), answered(request("b"))
    path.write_bytes(whole + torn[: min(kept, len(torn) - 1)])
    sink = Sink(path)
    assert sink.key_of(request("b")) is None
    sink.write(request("b"), torn)
    sink.close()
    assert path.read_bytes() == whole + torn


def test_changed_inputs_have_another_key_and_their_new_line_takes_the_old_one_s_place(path: Path) -> None:
    old, new = request("a", x=1), request("a", x=2)
    written(path, (old, answered(old, "old")), (request("b"), answered(request("b"))))
    sink = Sink(path)
    assert sink.key_of(new) not in {None, new.key}
    sink.write(new, answered(new, "new"))
    assert names(path) == ["a", "b", "a"]  # nothing that was paid for goes before the new line is there
    sink.close()
    assert path.read_bytes() == answered(request("b")) + answered(new, "new")


def test_an_old_line_that_a_kill_left_beside_its_successor_goes_at_the_next_opening(path: Path) -> None:
    old, new = request("a", x=1), request("a", x=2)
    path.write_bytes(answered(old) + answered(new, "new") + b'{"id": "batc')
    sink = Sink(path)
    assert path.read_bytes() == answered(new, "new")
    assert sink.key_of(new) == new.key
    sink.close()


def test_failed_requests_are_done_unless_they_are_to_be_tried_again(path: Path) -> None:
    written(path, (request("a"), failed(request("a"))), (request("b"), answered(request("b"))))
    sink = Sink(path, retry_failed=True)
    assert names(path) == ["b"]
    assert sink.key_of(request("a")) is None
    sink.write(request("a"), answered(request("a")))
    sink.close()
    assert names(path) == ["b", "a"]


def test_lines_can_be_put_into_the_input_s_order_those_of_no_input_last(path: Path) -> None:
    sink = Sink(path)
    for name in ("x", "c", "a", "y", "b"):
        sink.write(request(name), answered(request(name)))
    places = Hashes()
    for place, name in enumerate("abc"):
        places.put(request(name).name_hash, place)
    sink.close(places)
    assert names(path) == ["a", "b", "c", "x", "y"]


def test_a_second_run_is_kept_off_until_the_first_ends(path: Path) -> None:
    first = Sink(path)
    with pytest.raises(ConfigurationError, match="is open elsewhere"):
        Sink(path)
    first.close()
    first.close()
    Sink(path).close()


@pytest.mark.parametrize("text", [b"hello\n", b'{"a": 1}\n', b'{"id": "x", "custom_id": "a"}\n'])
def test_a_file_that_is_no_output_of_a_bulk_run_is_left_alone(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=r"line 1 of .* is not of a bulk run"):
        Sink(path)
    assert path.read_bytes() == text


def test_an_output_that_can_t_be_written_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-folder"):
        Sink(tmp_path / "no-folder" / "x.jsonl")
    with pytest.raises(ConfigurationError, match="can't be written"):
        Sink(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_an_output_that_is_no_file_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="must be a file, from which a run can go on"):
        Sink(tmp_path / "pipe")
    (tmp_path / "pipe").unlink()  # before what tests leave behind is searched for the key


def test_a_line_that_found_no_room_leaves_no_trace_and_the_next_one_is_whole(path: Path) -> None:
    resource = pytest.importorskip("resource")
    whole, limits = answered(request("a")), resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = Sink(path)
    sink.write(request("a"), whole)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match="can't be written"):
            sink.write(request("b"), answered(request("b")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == whole
    sink.write(request("b"), answered(request("b")))
    sink.close()
    assert names(path) == ["a", "b"]


def test_ordering_that_is_given_up_leaves_the_file_as_it_was_and_lets_go(path: Path) -> None:
    sink, places, calls = Sink(path), Hashes(), itertools.count()
    for name in "cab":
        sink.write(request(name), answered(request(name)))
        places.put(request(name).name_hash, ord(name) - ord("a"))

    def check() -> None:
        if next(calls) == 4:  # while the second line is written
            raise LookupError

    with pytest.raises(LookupError):
        sink.close(places, check)
    assert names(path) == ["c", "a", "b"]
    assert sorted(found.name for found in path.parent.iterdir()) == [f".{path.name}.lock", path.name]
    Sink(path).close()


def test_hashes_remember_what_they_were_told_and_forget_what_they_are_to() -> None:
    hashes = Hashes()
    known = {hash_of(b"%d" % number): number for number in range(10_000)}
    for key, number in known.items():
        hashes.put(key, number)
    assert {key: hashes.get(key) for key in known} == known
    assert hashes.get(hash_of(b"x")) is None
    for key in known:
        hashes.put(key, 2**64 - 1)
        assert hashes.get(key) == 2**64 - 1
        hashes.drop(key)
    assert len(hashes) == 0
    assert hash_of(b"a", b"b") != hash_of(b"ab")
