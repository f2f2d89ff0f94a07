"""What a simulator is given: scenarios, replies, TLS and a recording's upstream; limits that change, and slots."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from barechat.simulator import ScenarioError, Simulator
from simulating import HELLO, KEY, STREAM, Answer, dial, exchange, post, send


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dialect": "klingon"}, ScenarioError, "no dialect `klingon`"),
        ({"scenario": {"sead": 1}}, ScenarioError, "scenario: unknown key `sead`; did you mean `seed`?"),
        ({"scenario": "nothing-of-the-kind"}, ScenarioError, "those that come with it are azure, flaky, groq"),
        ({"scenario": "nothing.toml"}, FileNotFoundError, "nothing.toml"),
        ({"first_token_s": -1}, ScenarioError, "$.first_token_s"),
        ({"tokens_per_s": "fast"}, ScenarioError, "$.tokens_per_s"),
        ({"replies": "nothing.jsonl"}, FileNotFoundError, "nothing.jsonl"),
        ({"record": "to.jsonl"}, ValueError, "give both"),
        ({"upstream": "http://localhost/v1"}, ValueError, "give both"),
        ({"record": "to.jsonl", "upstream": "localhost"}, ValueError, "the upstream is a base URL"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_it_starts(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        Simulator(**arguments)
    assert words in str(caught.value)


def test_a_file_that_cannot_be_followed_is_named(tmp_path: Path) -> None:
    for name, data, words in (
        ("a.toml", b"sead = 1", "unknown key `sead`"),
        ("b.toml", b"seed =", "not TOML"),
        ("c.toml", b"# \xff", "not UTF-8"),
        ("d.jsonl", b"\xff", "not UTF-8"),
        ("e.jsonl", b"{}\n{", "line 2: not JSON"),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(ScenarioError) as caught:
            Simulator(replies=file) if file.suffix == ".jsonl" else Simulator(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert words in str(caught.value)


def test_a_scenario_is_found_by_name_by_path_and_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("own.toml", "bare"):
        (tmp_path / name).write_text("\ufeff[[fault]]\nstatus = 418\n", "utf-8")
    for scenario in ("own.toml", "bare", tmp_path / "own.toml", Path("bare"), {"fault": [{"status": 418}]}):
        with Simulator(scenario) as simulator:
            assert post(simulator).status == 418
    with Simulator("vllm") as simulator:
        assert "stop_reason" in post(simulator).json()["choices"][0]


def test_arguments_go_before_the_scenario_s_own() -> None:
    with Simulator("vllm", dialect="azure") as simulator:
        assert "prompt_filter_results" in post(simulator).json()
    with Simulator({"seed": 1}, seed=2) as simulator, Simulator(seed=2) as other:
        assert post(simulator).json()["id"] == post(other).json()["id"]


def test_replies_come_from_a_file_in_their_turn(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text('{"prompt": "weather", "reply": "Rain."}\n{"prompt": "weather", "reply": "Sun."}\n', "utf-8")
    asked = {**HELLO, "messages": [{"role": "user", "content": "What of the weather?"}]}
    with Simulator(replies=file) as simulator:
        said = [post(simulator, asked).json()["choices"][0]["message"]["content"] for _ in range(3)]
        assert said == ["Rain.", "Sun.", "Sun."]
        assert post(simulator).json()["choices"][0]["message"]["content"] not in said


def test_what_is_recorded_is_played_back(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    asked = [HELLO, STREAM, {**HELLO, "temperature": 9}, {**STREAM, "n": 2}]
    with Simulator(seed=5) as real, Simulator(record=file, upstream=real.url) as recorder:
        there = [post(recorder, body) for body in asked]
        assert [record["decision"] for record in recorder.requests] == ["recorded"] * 4
        assert [record["status"] for record in real.requests] == [200, 200, 400, 200]
    assert KEY not in file.read_text("utf-8")
    with Simulator(replies=file) as played:
        again = [post(played, body) for body in asked]
    assert [(one.status, one.body, one.headers["content-type"]) for one in again] == [
        (one.status, one.body, one.headers["content-type"]) for one in there
    ]
    assert [one.headers["x-request-id"] for one in again] == [one.headers["x-request-id"] for one in there]


def test_over_tls_it_is_trusted_by_its_own_authority() -> None:
    with Simulator(tls=True) as simulator:
        assert simulator.url.startswith("https://127.0.0.1:")
        authority = simulator.authority
        context = ssl.create_default_context(cafile=authority)
        for fault, is_cut in (({"close_after": True}, False), ({"cut_after": 1, "reset": True}, True)):
            got, _ = exchange(simulator, STREAM, fault=fault, tls=context)
            assert got.startswith(b"HTTP/1.1 200 OK\r\n")
            assert (b"[DONE]" in got) is not is_cut
        with pytest.raises(ssl.SSLCertVerificationError):
            exchange(simulator, tls=ssl.create_default_context())
    assert not authority.exists()
    with pytest.raises(RuntimeError, match="authority only while"):
        _ = simulator.authority


# Limits and load


def test_limits_change_in_mid_run_from_another_thread() -> None:
    with Simulator({"limit": [{"requests_per_min": 2}]}, clock=lambda: 1.0) as simulator:
        assert [post(simulator).status for _ in range(3)] == [200, 200, 429]
        simulator.limit()
        assert post(simulator).status == 200
        simulator.limit(quota_requests=1)
        assert [post(simulator).status for _ in range(2)] == [200, 429]
        with pytest.raises(ScenarioError, match="limit 1: unknown key `rpm`"):
            simulator.limit(rpm=1)
        assert [record["decision"] for record in simulator.requests][-2:] == ["reply", "limited"]


def test_limits_change_within_the_loop() -> None:
    async def main() -> None:
        async with Simulator() as simulator:
            assert (await asyncio.to_thread(post, simulator)).status == 200
            simulator.limit(quota_requests=1)
            statuses = [(await asyncio.to_thread(post, simulator)).status for _ in range(2)]
            assert statuses == [200, 429]

    asyncio.run(main())


def test_limits_can_be_set_before_it_starts_and_between_two_runs() -> None:
    simulator = Simulator()
    simulator.limit(quota_requests=1)
    for _ in range(2):
        with simulator:
            assert [post(simulator).status for _ in range(2)] == [200, 429]
        simulator.limit(quota_requests=1, quota_code="credit_balance_exhausted")


def test_a_concurrent_request_is_let_through_when_the_one_before_it_has_ended() -> None:
    with Simulator({"limit": [{"concurrent": 1}]}) as simulator, contextlib.closing(dial(simulator)) as first:
        send(first, STREAM, fault={"stall_after": 1})
        response = first.getresponse()
        assert post(simulator).status == 429
        response.close()
        first.close()
        simulator.wait_for(2)
        assert post(simulator).status == 200


def test_with_one_slot_an_answer_waits_for_the_one_before_it() -> None:
    with (
        Simulator({"load": {"slots": 1}}) as simulator,
        contextlib.closing(dial(simulator)) as first,
        contextlib.closing(dial(simulator)) as second,
    ):
        send(first, STREAM, fault={"stall_after": 1})
        with contextlib.closing(first.getresponse()):
            send(second)
            # What isn't an answer of the model needs no slot, so it is through while the second request waits.
            assert post(simulator, fault={"status": 503}).status == 503
            assert [record["decision"] for record in simulator.requests] == ["status 503"]
        first.close()
        assert Answer(second.getresponse()).status == 200
    assert [record["decision"] for record in simulator.requests] == ["status 503", "stall_after 1", "reply"]


def test_a_client_that_hangs_up_while_it_waits_for_a_slot_gives_up_its_turn() -> None:
    with Simulator({"load": {"slots": 1}}) as simulator, contextlib.closing(dial(simulator)) as first:
        send(first, STREAM, fault={"stall_after": 1})
        with contextlib.closing(first.getresponse()):
            with contextlib.closing(dial(simulator)) as second:
                send(second)
                post(simulator, fault={"status": 503})
            (_, waited) = simulator.wait_for(2)
            assert (waited["decision"], waited["status"], waited["hung_up"]) == ("reply", None, True)
        first.close()
        assert post(simulator).status == 200
