"""`barechat ask`, run as a shell runs it, against the simulator."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from commands import KEY, command, environment, on_a_terminal, run, start
from support import DONE, STREAM, USAGE, event, piece

if TYPE_CHECKING:
    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="signals, pipes and terminals as POSIX has them")

BILL = re.compile(r"gpt-4o-mini-2024-07-18 · \d+ \+ \d+ tokens · \$0\.\d+ exact · \d+\.\d s\n")


def stream_of(*pieces: bytes) -> str:
    return b"".join([*pieces, USAGE, DONE]).decode()


# The answer, and what stands beside it


def test_the_answer_alone_is_on_stdout_and_its_cost_on_stderr(simulator: Simulator) -> None:
    simulator.fail_next(reply="It will rain.")
    result = run("ask", "How is the weather?", url=simulator.url)
    assert result.stdout == "It will rain.\n"
    assert BILL.fullmatch(result.stderr)
    assert result.returncode == 0
    assert simulator.requests[0]["stream"] is True


def test_a_whole_reply_is_asked_for_by_no_stream(simulator: Simulator) -> None:
    simulator.fail_next(reply="It will rain.")
    result = run("ask", "How is the weather?", "--no-stream", url=simulator.url)
    assert (result.stdout, result.returncode) == ("It will rain.\n", 0)
    assert BILL.fullmatch(result.stderr)
    assert simulator.requests[0]["stream"] is False


def test_an_answer_that_ends_its_line_gets_no_second_line_end(simulator: Simulator) -> None:
    simulator.fail_next(reply="Rain.\n")
    assert run("ask", "How?", url=simulator.url).stdout == "Rain.\n"


def test_several_choices_stand_one_after_the_other(simulator: Simulator) -> None:
    simulator.fail_next(reply="It will rain.")
    result = run("ask", "How?", "-p", "n=3", url=simulator.url)
    assert result.stdout == "It will rain.\n\nIt will rain.\n\nIt will rain.\n"


def test_json_is_the_servers_own_object_and_nothing_else(simulator: Simulator) -> None:
    result = run("ask", "How?", "--json", url=simulator.url)
    raw = json.loads(result.stdout)
    assert raw["object"] == "chat.completion"
    assert raw["choices"][0]["message"]["content"]
    assert BILL.fullmatch(result.stderr)
    assert result.returncode == 0


def test_json_of_a_failed_call_is_nothing(simulator: Simulator) -> None:
    result = run("ask", "How?", "--json", "-m", "no-such", url=simulator.url)
    assert (result.stdout, result.returncode) == ("", 1)


def test_a_refusal_is_printed_like_an_answer(simulator: Simulator) -> None:
    simulator.fail_next(raw=stream_of(piece(refusal="I "), piece(refusal="won't."), piece(finish_reason="stop")))
    result = run("ask", "How?", url=simulator.url)
    assert (result.stdout, result.returncode) == ("I won't.\n", 0)


def test_tool_calls_are_printed_as_a_json_line_each(simulator: Simulator) -> None:
    calls = [
        piece(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}]),
        piece(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
        piece(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]),
        piece(finish_reason="tool_calls"),
    ]
    simulator.fail_next(raw=stream_of(piece("Let me see."), *calls))
    tools = '[{"type": "function", "function": {"name": "f"}}]'
    result = run("ask", "How?", "-p", f"tools={tools}", url=simulator.url)
    first, *lines = result.stdout.splitlines()
    assert first == "Let me see."
    assert [json.loads(line)["function"] for line in lines] == [
        {"name": "f", "arguments": '{"x":1}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert result.returncode == 0


def test_reasoning_is_kept_out_of_pipes(simulator: Simulator) -> None:
    raw = stream_of(piece(reasoning_content="Hm. "), piece("Rain."), piece(finish_reason="stop"))
    simulator.fail_next(raw=raw)
    result = run("ask", "How?", url=simulator.url)
    assert result.stdout == "Rain.\n"
    assert "Hm." not in result.stderr


def test_a_pipe_gets_control_characters_as_they_are(simulator: Simulator) -> None:
    simulator.fail_next(reply="a\x1b[31mb")
    assert run("ask", "How?", url=simulator.url).stdout == "a\x1b[31mb\n"


# The prompt and what goes with it


def messages_of(result: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """Return the messages of the request that `--curl` printed."""
    found: list[dict[str, str]] = body_of(result)["messages"]
    return found


def body_of(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    body: dict[str, Any] = json.loads(result.stdout.partition("--data-binary '")[2].rstrip("'\n"))
    return body


def test_a_piped_text_is_the_prompt() -> None:
    assert messages_of(run("ask", "--curl", stdin="Why?\n")) == [{"role": "user", "content": "Why?"}]


def test_a_piped_text_follows_the_argument_after_an_empty_line() -> None:
    result = run("ask", "Sum up.", "--curl", "-s", "Be brief.", stdin="line 1\nline 2\n")
    assert messages_of(result) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sum up.\n\nline 1\nline 2"},
    ]


def test_a_piped_text_in_another_encoding_than_utf8_is_a_usage_error() -> None:
    result = subprocess.run(  # noqa: S603 - our own command
        command("ask", "--curl"), env=environment(), input=b"caf\xe9", capture_output=True, check=False, timeout=60
    )
    assert result.returncode == 2
    assert b"not text" in result.stderr


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_no_prompt_is_a_usage_error(stdin: str) -> None:
    result = run("ask", stdin=stdin)
    assert result.returncode == 2
    assert result.stderr.startswith("error: there is no prompt")


def test_parameters_are_json_or_else_text() -> None:
    given = ["temperature=0.2", "stop=.", 'logit_bias={"50256": -100}', "response_format=text", "seed=null"]
    result = run("ask", "Hi", "--curl", *(f"-p{pair}" for pair in given), "-x", "top_k=40")
    assert (
        body_of(result).items()
        >= {
            "temperature": 0.2,
            "stop": ".",
            "logit_bias": {"50256": -100},
            "response_format": {"type": "text"},
            "top_k": 40,
        }.items()
    )
    assert "seed" not in body_of(result)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-p", "temperature=3"], "temperature must be a number from 0 to 2, not 3"),
        (["-p", "temprature=1"], "did you mean 'temperature'?"),
        (["-p", "logprobs=True"], "values are read as JSON"),
        (["-p", "temperature"], "write it as NAME=VALUE"),
        (["-p", "=1"], "write it as NAME=VALUE"),
        (["-p", "n=1", "-p", "n=2"], "n is given twice"),
        (["-p", "model=x"], "the model is named by -m"),
        (["-p", "stream=true"], "--no-stream"),
        (["-p", "timeouts=1"], "no parameter of that name"),
        (["-p", "response_format=json"], "JSON mode needs a message that says JSON"),
        (["--no-such-option"], "--no-such-option"),
        (["surplus"], "surplus"),
    ],
)
def test_what_cannot_be_sent_is_a_usage_error_that_names_it(given: list[str], said: str, simulator: Simulator) -> None:
    result = run("ask", "Hi", *given, url=simulator.url)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) <= 2
    assert simulator.requests == []


def test_the_model_comes_from_the_option_or_the_environment() -> None:
    assert body_of(run("ask", "Hi", "--curl"))["model"] == "gpt-4o-mini"
    assert body_of(run("ask", "Hi", "--curl", BARECHAT_MODEL="gpt-4.1"))["model"] == "gpt-4.1"
    assert body_of(run("ask", "Hi", "--curl", "-m", "o3", BARECHAT_MODEL="gpt-4.1"))["model"] == "o3"


def test_a_base_url_goes_before_the_environments(simulator: Simulator) -> None:
    assert run("ask", "Hi", "--base-url", simulator.url, url="http://127.0.0.1:9/v1").returncode == 0


# Seeing it


def test_curl_prints_the_command_and_sends_nothing(simulator: Simulator) -> None:
    result = run("ask", "It's me", "--curl", url=simulator.url)
    assert result.stdout.startswith("curl ")
    assert f"{simulator.url}/chat/completions" in result.stdout
    assert "$OPENAI_API_KEY" in result.stdout
    assert KEY not in result.stdout
    assert simulator.requests == []
    assert (result.stderr, result.returncode) == ("", 0)


def test_curl_needs_no_key(simulator: Simulator) -> None:
    result = run("ask", "Hi", "--curl", OPENAI_API_KEY="")
    assert (result.returncode, result.stderr) == (0, "")
    assert "$OPENAI_API_KEY" in result.stdout


def test_wire_shows_all_that_is_sent_and_received_but_the_key(simulator: Simulator) -> None:
    simulator.fail_next(reply="It will rain.")
    result = run("ask", "How?", "--wire", url=simulator.url)
    assert result.stdout == "It will rain.\n"
    assert f"> POST {simulator.url}/chat/completions" in result.stderr
    assert '"content":"How?"' in result.stderr
    assert "< HTTP 200" in result.stderr
    assert "< data: [DONE]" in result.stderr
    assert KEY not in result.stderr
    assert result.returncode == 0


def test_each_retry_is_told_as_it_happens(simulator: Simulator) -> None:
    simulator.fail_next(status=429, headers={"retry-after-ms": "1"})
    simulator.fail_next(status=503, headers={"retry-after-ms": "1"})
    simulator.fail_next(reply="Rain.")
    with start("ask", "How?", url=simulator.url) as asking:
        assert asking.stderr is not None
        assert asking.stdout is not None
        first = asking.stderr.readline().decode()
        assert re.fullmatch(r"429 rate_limit_exceeded; trying again in \d\.\d s\n", first)
        assert len(simulator.requests) == 1  # told before the wait
        out, rest = asking.stdout.read(), asking.stderr.read().decode()
    second, bill = rest.splitlines()
    assert re.fullmatch(r"503 server_is_overloaded; trying again in \d\.\d s", second)
    assert "exact · 3 attempts ·" in bill
    assert out == b"Rain.\n"


def test_a_warning_is_one_line(simulator: Simulator) -> None:
    result = run("ask", "Hi", "-m", "gpt-5", "-p", "max_tokens=500", url=simulator.url)
    first, *_ = result.stderr.splitlines()
    assert first.startswith("warning: gpt-5 refuses max_tokens")
    assert result.returncode == 0


# How it ends


def test_an_answer_cut_at_its_length_exits_with_3_and_says_so(simulator: Simulator) -> None:
    result = run("ask", "Hi", "-p", "max_completion_tokens=3", url=simulator.url)
    assert result.returncode == 3
    said, bill = result.stderr.splitlines()
    assert said.startswith("limited: ")
    assert "exact" in bill
    assert result.stdout.strip()


def test_an_answer_whose_end_nobody_explained_exits_with_3_and_says_so(simulator: Simulator) -> None:
    simulator.fail_next(omit=["finish_reason"])
    result = run("ask", "Hi", url=simulator.url)
    assert result.returncode == 3
    assert result.stderr.startswith("unknown: ")
    assert len(result.stderr.splitlines()) == 2


def test_a_stream_that_breaks_off_leaves_what_came_and_exits_with_1(simulator: Simulator) -> None:
    simulator.fail_next(reply="One two three four", cut_after=2)
    result = run("ask", "Count.", url=simulator.url)
    assert result.stdout == "One two\n"
    said, facts = result.stderr.splitlines()
    assert said.startswith("error: the stream ended before the answer did")
    assert "at most $0." in facts
    assert result.returncode == 1


def test_half_a_tool_call_is_not_printed(simulator: Simulator) -> None:
    half = piece(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}])
    simulator.fail_next(raw=(piece("Wait.") + half).decode())
    result = run("ask", "Hi", url=simulator.url)
    assert (result.stdout, result.returncode) == ("Wait.\n", 1)


def test_a_bad_key_is_one_line_without_it(simulator: Simulator) -> None:
    bad = "sk-bad-0123456789"
    result = run("ask", "Hi", url=simulator.url, OPENAI_API_KEY=bad)
    assert result.returncode == 1
    assert re.fullmatch(r"error: the server answered 401 \(invalid_api_key\): .*\n", result.stderr)
    assert bad not in result.stderr
    assert result.stdout == ""


def test_no_key_is_one_line() -> None:
    result = run("ask", "Hi", OPENAI_API_KEY="")
    assert result.returncode == 1
    assert re.fullmatch(r"error: no API key: set OPENAI_API_KEY, to anything for a server that .*\n", result.stderr)


def test_a_url_that_is_none_is_one_line() -> None:
    result = run("ask", "Hi", "--base-url", "localhost:8080")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


@posix
@pytest.mark.parametrize("options", [[], ["-p", "n=2"]])
def test_ctrl_c_ends_the_stream_and_shows_the_most_it_can_cost(options: list[str], simulator: Simulator) -> None:
    simulator.fail_next(reply="One two three four", stall_after=4)
    with start("ask", "Count.", *options, url=simulator.url) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        begun = asking.stdout.read(3)
        asking.send_signal(signal.SIGINT)
        out, err = begun + asking.stdout.read(), asking.stderr.read().decode()
    assert out.startswith(b"One")
    assert out.endswith(b"\n")
    said, bill = err.splitlines()
    assert said.startswith("partial: interrupted")
    assert "at most $0." in bill
    assert asking.returncode == 3
    assert simulator.wait_for(1)[0]["hung_up"] is True


@posix
def test_ctrl_c_while_a_whole_reply_is_awaited_shows_the_most_it_can_cost(simulator: Simulator) -> None:
    simulator.fail_next(reply="Too late.", stall_after=1)
    with start("ask", "Hi", "--json", "--wire", url=simulator.url) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        while b"< HTTP 200" not in asking.stderr.readline():
            pass
        asking.send_signal(signal.SIGINT)
        out, err = asking.stdout.read(), asking.stderr.read().decode()
    assert out == b""
    assert "partial: interrupted" in err
    assert "at most $0." in err
    assert asking.returncode == 3
    assert simulator.wait_for(1)[0]["hung_up"] is True


@posix
def test_a_reader_that_has_had_enough_ends_it_quietly(simulator: Simulator) -> None:
    simulator.fail_next(tokens=200_000)
    with start("ask", "Hi", url=simulator.url) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        asking.stdout.read(10)
        asking.stdout.close()
        err = asking.stderr.read().decode()
    assert re.fullmatch(r"gpt-4o-mini · at most \$0\.\d+ · \d+\.\d s\n", err)
    assert asking.returncode == 3
    assert simulator.wait_for(1)[0]["hung_up"] is True


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_full_disk_is_one_line_and_the_cost(simulator: Simulator) -> None:
    with Path("/dev/full").open("wb") as full, start("ask", "Hi", url=simulator.url, stdout=full) as asking:
        assert asking.stderr is not None
        said, bill = asking.stderr.read().decode().splitlines()
    assert said == "error: the answer can't be written: No space left on device"
    assert "at most" in bill
    assert asking.returncode == 1


# Terminals


@posix
def test_a_terminal_gets_the_answer_and_dimmed_notes(simulator: Simulator) -> None:
    raw = stream_of(piece(reasoning_content="Hm."), piece("Ra"), piece("in."), piece(finish_reason="stop"))
    simulator.fail_next(raw=raw)
    shown, code = on_a_terminal("ask", "How?", url=simulator.url)
    assert shown.startswith("\x1b[2mHm.\x1b[0m\nRain.\n\x1b[2mgpt-4o-mini")
    assert code == 0


@posix
def test_no_color_is_respected(simulator: Simulator) -> None:
    _, code = on_a_terminal("ask", "How?", "-m", "no-such", url=simulator.url)
    assert code == 1
    coloured, _ = on_a_terminal("ask", "How?", "-m", "no-such", url=simulator.url)
    plain, _ = on_a_terminal("ask", "How?", "-m", "no-such", url=simulator.url, NO_COLOR="1")
    assert "\x1b[1;31merror: " in coloured
    assert "31m" not in plain


@posix
def test_a_model_cannot_send_a_terminal_control_characters(simulator: Simulator) -> None:
    simulator.fail_next(reply="a\x1b]0;title\x07b\tc\r\nd\x9bm")
    shown, _ = on_a_terminal("ask", "How?", url=simulator.url)
    assert shown.startswith("a\\x1b]0;title\\x07b\tc\nd\\x9bm\n")


@posix
def test_on_one_terminal_the_wire_does_not_cut_the_answer(simulator: Simulator) -> None:
    simulator.fail_next(reply="One two three")
    shown, _ = on_a_terminal("ask", "Count.", "--wire", url=simulator.url)
    assert "\nOne two three\n" in shown


@posix
def test_json_on_a_terminal_is_indented(simulator: Simulator) -> None:
    shown, _ = on_a_terminal("ask", "How?", "--json", url=simulator.url)
    assert shown.startswith('{\n  "id": ')


def test_an_output_that_lacks_a_character_is_no_reason_to_crash(simulator: Simulator) -> None:
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    simulator.fail_next(reply="caf\u00e9 \U0001f600")
    result = run("ask", "How?", url=simulator.url, **ascii_only)
    assert result.stdout == "caf? ?\n"
    assert re.match(r"gpt-4o-mini-2024-07-18, \d+ \+ \d+ tokens, \$", result.stderr)
    simulator.fail_next(reply="caf\u00e9 \U0001f600")
    result = run("ask", "Now how?", "--json", url=simulator.url, **ascii_only)
    assert json.loads(result.stdout)["choices"][0]["message"]["content"] == "caf\u00e9 \U0001f600"


# The entry point


def loaded_by(*arguments: str, url: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    code = f"""
import sys
from barechat.cli.__main__ import main
sys.argv = {["barechat", *arguments]!r}
try:
    main()
except SystemExit:
    print("\\n" + " ".join(sys.modules))
"""
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    return set(result.stdout.splitlines()[-1].split())


def test_ask_loads_neither_aiohttp_nor_the_simulator(simulator: Simulator) -> None:
    loaded = loaded_by("ask", "Hi", url=simulator.url)
    assert "barechat.transport.blocking" in loaded
    assert not loaded & {"aiohttp", "asyncio", "barechat.simulator", "rich.console"}


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_loads_nothing_that_takes_time(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments, url="http://127.0.0.1:9/v1")
    assert "barechat.cli.ask" in loaded
    assert not loaded & {"aiohttp", "asyncio", "barechat.client", "barechat.simulator", "msgspec", "urllib3"}
    assert not any(name.startswith("rich.console") for name in loaded)


@pytest.mark.parametrize("absent", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(absent: str) -> None:
    code = f"import sys; sys.modules[{absent!r}] = None; from barechat.cli.__main__ import main; main()"
    result = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert result.returncode == 1
    assert result.stderr == f"barechat: the command needs {absent}: pip install 'barechat[cli]'\n"


def test_no_command_shows_the_help() -> None:
    result = run()
    assert result.returncode == 2
    assert "Usage: barechat" in result.stderr


def test_a_stream_without_tricks_reads_the_same_from_bytes_that_we_wrote(simulator: Simulator) -> None:
    simulator.fail_next(raw=(event(choices=[], note="a vendor's own") + STREAM).decode())
    assert run("ask", "How?", url=simulator.url).stdout == "It will rain.\n"
