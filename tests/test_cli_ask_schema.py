"""`barechat ask --schema FILE`: JSON by a schema, or nothing and a line that says why."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click
import pytest

from barechat.cli.answer_schema import UnfitError, schema_of
from commands import on_a_terminal, run
from support import DONE, USAGE, piece

if TYPE_CHECKING:
    from pathlib import Path

    from barechat.simulator import Simulator

posix = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")

PERSON = {
    "title": "A person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": ["integer", "null"]}},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "who is it.json"
    path.write_text(json.dumps(PERSON))
    return path


def written(tmp_path: Path, schema: Any) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return path


# What is asked for


def test_the_answer_is_asked_for_in_the_strict_mode_and_printed_as_json(simulator: Simulator, file: Path) -> None:
    asked = run("ask", "Who?", "--schema", str(file), "--curl")
    body = json.loads(asked.stdout.partition("--data-binary '")[2].rstrip("'\n"))
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "A_person",
            "schema": {**PERSON, "required": ["name", "born"], "additionalProperties": False},
            "strict": True,
        },
    }
    simulator.fail_next(reply='{"name":\n"Ada é",  "born":1815}')
    done = run("ask", "Who?", "--schema", str(file), url=simulator.url)
    assert (done.stdout, done.returncode) == ('{"name": "Ada é", "born": 1815}\n', 0)
    assert "exact" in done.stderr


def test_what_is_no_object_by_itself_stands_in_one_that_nobody_sees(simulator: Simulator, tmp_path: Path) -> None:
    names = {"type": "array", "items": {"$ref": "#/$defs/name"}, "$defs": {"name": {"type": "string"}}}
    path = written(tmp_path, names)
    simulator.fail_next(reply='{"value": ["Ada", "Grace"]}')
    done = run("ask", "Who?", "--schema", str(path), url=simulator.url)
    assert (done.stdout, done.returncode) == ('["Ada", "Grace"]\n', 0)
    made = schema_of(path)
    assert made.name == "schema"
    assert list(made.schema["properties"]) == ["value"]
    assert made.schema["$defs"] == names["$defs"]


@posix
def test_on_a_terminal_it_is_indented(simulator: Simulator, file: Path) -> None:
    simulator.fail_next(reply='{"name":"Ada","born":null}')
    shown, code = on_a_terminal("ask", "Who?", "--schema", str(file), url=simulator.url)
    assert shown.startswith('{\n  "name": "Ada",\n  "born": null\n}\n')
    assert code == 0


def test_several_answers_are_a_line_each_and_json_prints_the_whole_reply(simulator: Simulator, file: Path) -> None:
    simulator.fail_next(reply='{"name":"Ada","born":1815}')
    several = run("ask", "Who?", "--schema", str(file), "-p", "n=2", url=simulator.url)
    assert several.stdout == '{"name": "Ada", "born": 1815}\n' * 2
    simulator.fail_next(reply='{"name":"Ada","born":1815}')
    whole = run("ask", "Who?", "--schema", str(file), "--json", url=simulator.url)
    assert json.loads(whole.stdout)["choices"][0]["message"]["content"] == '{"name":"Ada","born":1815}'


# What isn't an answer


def streamed(*pieces: bytes) -> str:
    return b"".join([*pieces, USAGE, DONE]).decode()


@pytest.mark.parametrize(
    ("pieces", "code", "said"),
    [
        (
            [piece(refusal="I won't."), piece(finish_reason="stop")],
            3,
            "refused: the model declined to answer: I won't.",
        ),
        ([piece('{"name":"A'), piece(finish_reason="length")], 3, "limited: "),
        ([piece('{"name":"A'), piece(finish_reason="content_filter")], 3, "filtered: "),
        ([piece('{"name":"A'), piece(finish_reason="stop")], 1, "error: the answer isn't JSON: "),
        ([piece('{"name":"Ada"}'), piece(finish_reason="stop")], 1, "error: the answer has no 'born', which"),
        (
            [piece('{"name":"Ada","born":NaN}'), piece(finish_reason="stop")],
            1,
            "error: the answer isn't JSON: it has NaN",
        ),
        (
            [piece('{"name":5,"born":1815}'), piece(finish_reason="stop")],
            1,
            "error: the answer's name is no string, as the schema wants one: it is 5; the answer begins '{\"name\"",
        ),
        (
            [piece('{"name":"Ada","born":null,"died":1852}'), piece(finish_reason="stop")],
            1,
            "error: the answer has a 'died', which the schema has not; the answer begins",
        ),
        ([piece("7"), piece(finish_reason="stop")], 1, "error: the answer is no object"),
    ],
)
def test_what_is_no_answer_is_told_and_half_an_object_never_printed(
    pieces: list[bytes], code: int, said: str, simulator: Simulator, file: Path
) -> None:
    simulator.fail_next(raw=streamed(*pieces))
    done = run("ask", "Who?", "--schema", str(file), url=simulator.url)
    assert (done.stdout, done.returncode) == ("", code)
    told, bill = done.stderr.splitlines()
    assert told.startswith(said)
    assert "exact" in bill


def test_a_stream_that_breaks_off_prints_nothing(simulator: Simulator, file: Path) -> None:
    simulator.fail_next(reply='{"name":"Ada","born":1815}', cut_after=2)
    done = run("ask", "Who?", "--schema", str(file), url=simulator.url)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "the stream ended before the answer did" in done.stderr


def test_what_doesn_t_fit_leaves_the_session_as_it_was(simulator: Simulator, file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "who.json"
    asked = ["ask", "Who?", "-c", "who", "-s", "Be brief.", "--schema", str(file)]
    for before in (False, True):
        if before:
            simulator.fail_next(reply='{"name":"Ada","born":1815}')
            assert run(*asked, url=simulator.url, BARECHAT_SESSIONS=str(kept.parent)).returncode == 0
        was = kept.read_text() if before else None
        simulator.fail_next(reply='{"name":"Ada","born":"1815"}')
        done = run(*asked, "-s", "Be rude.", url=simulator.url, BARECHAT_SESSIONS=str(kept.parent))
        assert (done.stdout, done.returncode) == ("", 1)
        assert (kept.read_text() if kept.exists() else None) == was


def test_an_answer_that_nests_without_end_is_no_crash(file: Path) -> None:
    with pytest.raises(UnfitError, match="isn't JSON"):
        schema_of(file).read("[" * 100_000)


# What can't be asked


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "is not JSON: "),
        ("[" * 100_000, "is not JSON: "),
        ([1, 2], "schema is no JSON schema, which is an object: it is \\[1, 2\\]"),
        ({"type": "objekt"}, "its type must be one of JSON's types, or a list of them, not 'objekt'"),
        ({"type": "object", "properties": {"a": {"type": "object"}}}, "schema.a is an object of any keys, .* give it"),
        ({}, "schema.value may be anything"),
    ],
)
def test_a_file_without_a_schema_is_named_and_what_is_wrong_with_it(schema: Any, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, schema)
    with pytest.raises(click.UsageError, match=said) as caught:
        schema_of(path)
    assert str(path) in caught.value.message
    assert "strict=False" not in caught.value.message


def test_it_is_refused_before_anything_is_sent(simulator: Simulator, file: Path) -> None:
    missing = run("ask", "Who?", "--schema", "none.json", url=simulator.url)
    assert (missing.returncode, missing.stderr.splitlines()[0]) == (
        2,
        "error: the schema none.json can't be read: No such file or directory. (See `barechat ask --help`.)",
    )
    twice = run("ask", "Who?", "--schema", str(file), "-p", "response_format=json", url=simulator.url)
    assert (twice.returncode, "--schema is a response_format" in twice.stderr) == (2, True)
    assert simulator.requests == []
