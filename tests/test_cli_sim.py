"""`barechat sim`, run as a shell runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from commands import Terminal, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals as POSIX has them")


@contextlib.contextmanager
def simulating(*arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `barechat sim` on a free port; give its URL and its process."""
    with start("sim", "--port", "0", *arguments, stdin=stdin) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip(), process
        finally:
            process.kill()


def ask(url: str, text: str = "Hi") -> int:
    """Post a chat request; return the answer's status."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode())  # noqa: S310 - http
    request.add_header("Authorization", "Bearer any")
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - http
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_without_a_terminal_its_url_is_all_that_it_prints() -> None:
    with simulating() as (url, process):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
        assert ask(url) == 200
        process.kill()
        out, err = process.communicate()
    assert (out, err) == (b"", b"")


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_it_cleanly(how: signal.Signals) -> None:
    with simulating() as (url, process):
        assert ask(url) == 200
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == (b"", b"", 0)


def test_it_ends_with_whoever_started_it_if_told_so() -> None:
    with simulating("--until-eof", stdin=subprocess.PIPE) as (url, process):
        assert ask(url) == 200
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)


def test_a_scenario_is_followed_and_requests_are_logged(tmp_path: Path) -> None:
    scenario, log = tmp_path / "flaky.toml", tmp_path / "requests.jsonl"
    scenario.write_text("[[fault]]\ntimes = 1\nstatus = 503\n", "utf-8")
    arguments = ["--scenario", str(scenario), "--log", str(log), "--until-eof"]
    with simulating(*arguments, stdin=subprocess.PIPE) as (url, process):
        assert [ask(url), ask(url)] == [503, 200]
        process.communicate(timeout=60)  # which closes its input, so that it ends
        records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [record["decision"] for record in records] == ["status 503", "reply"]


def test_seed_and_pace_are_the_simulators_own(tmp_path: Path) -> None:
    with simulating("--seed", "7", "--first-token-s", "0", "--tokens-per-s", "0") as (url, _):
        assert ask(url) == 200


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("sim", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == f"error: port {port} is in use: name another by --port, or 0 for any free one\n"


def test_a_scenario_that_cannot_be_followed_is_one_line(tmp_path: Path) -> None:
    scenario = tmp_path / "typo.toml"
    scenario.write_text("[[fault]]\nstatsu = 503\n", "utf-8")
    result = run("sim", "--scenario", str(scenario))
    assert result.returncode == 1
    assert re.fullmatch(r"error: .*typo\.toml: fault 1: unknown key `statsu`; did you mean `status`\?\n", result.stderr)


def test_a_scenario_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    scenario = tmp_path / "binary.toml"
    scenario.write_bytes(b"\xff\xfe")
    result = run("sim", "--scenario", str(scenario))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "not UTF-8" in result.stderr


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = run("sim", "--port", "0", "--log", str(tmp_path / "absent" / "log.jsonl"))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "log.jsonl" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--host", "0.0.0.0"], ["--port", "70000"], ["--scenario", "absent.toml"], ["--first-token-s", "-1"], ["x"]],  # noqa: S104 - refused
)
def test_a_wrong_option_is_a_usage_error_of_one_line(arguments: list[str]) -> None:
    result = run("sim", *arguments)
    assert result.returncode == 2
    assert re.fullmatch(r"error: .*\n", result.stderr)


@posix
def test_on_a_terminal_it_tells_how_to_use_it_and_each_request() -> None:
    with Terminal("sim", "--port", "0") as running:
        shown = running.read_until('barechat ask "Hello?"')
        found = re.search(r"export OPENAI_BASE_URL=(\S+)\n  export OPENAI_API_KEY=sk-anything\n", shown)
        assert found
        assert ask(found[1]) == 200
        line = running.read_until("reply")
        told = r"\d\d:\d\d:\d\d  200  +\d+\.\d\d s  gpt-4o-mini  whole  try 1  \d+ \+ \d+ tokens  reply"
        assert re.search(told, line)
        running.process.send_signal(signal.SIGINT)
        assert "Traceback" not in running.read_all()
        assert running.wait() == 0
