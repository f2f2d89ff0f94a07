"""What is read from files of requests: JSON lines, CSV, templates, and bad lines by their number."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest

from barechat import ParameterError
from barechat.bulk.requests import BadLine, BulkRequest, Reader, Template
from barechat.bulk.source import Names, requests_of, without_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barechat.bulk.source import Form

HELLO = [{"role": "user", "content": "Hello"}]
SUMMARISE = Reader(prompt=Template("Summarise: {text}", "--prompt"))


def read(text: str | bytes, form: Form = "jsonl", reader: Reader | None = None) -> list[BulkRequest | BadLine]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(requests_of(io.BytesIO(data), form, reader or Reader()))


def one(text: str, form: Form = "jsonl", reader: Reader | None = None) -> BulkRequest:
    (item,) = read(text, form, reader)
    assert isinstance(item, BulkRequest), item
    return item


def asked(item: BulkRequest | BadLine) -> Any:
    assert isinstance(item, BulkRequest), item
    return item.body["messages"][-1]["content"]


def test_a_line_of_the_batch_api_is_its_body_under_its_name() -> None:
    line = (
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{}]}}'
    )
    assert one(line) == BulkRequest(custom_id="a", body={"model": "m", "messages": [{}]}, line=1)


def test_a_line_that_is_a_body_itself_is_named_by_its_number() -> None:
    found = read('\n{"messages": [{}]}\r\n\n{"custom_id": "b", "messages": [{}]}')
    assert [(item.custom_id, item.line) for item in found] == [("line-2", 2), ("b", 4)]


def test_a_template_asks_of_each_row_and_keeps_what_it_was_told_of_braces() -> None:
    reader = Reader(prompt=Template('Say {word}, {{"n": {n}}}', "--prompt"), system=Template("Be {mood}.", "--system"))
    body = one('{"custom_id": "x", "word": "ä", "n": [1, 2], "mood": "brief"}', reader=reader).body
    assert body == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": 'Say ä, {"n": [1,2]}'},
        ]
    }


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{a} {"])
def test_a_lone_brace_in_a_template_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="--prompt: a lone"):
        Template(text, "--prompt")


def test_a_row_of_csv_may_take_several_lines_and_is_numbered_by_its_first() -> None:
    found = read('\ufefftext,custom_id\r\n"two\nlines",a\r\n\r\n"a ""quote""",\r\n', "csv", SUMMARISE)
    assert [(item.custom_id, item.line, asked(item)) for item in found] == [
        ("a", 2, "Summarise: two\nlines"),
        ("line-5", 5, 'Summarise: a "quote"'),
    ]


def test_csv_without_a_template_is_refused() -> None:
    with pytest.raises(ParameterError, match="--prompt"):
        read("text\nhi", "csv")


def test_parameters_are_for_the_requests_that_have_none() -> None:
    reader = Reader(parameters={"model": "m", "temperature": 0})
    assert one('{"messages": [{}], "temperature": 1}', reader=reader).body == {
        "model": "m",
        "temperature": 1,
        "messages": [{}],
    }


BAD = {
    "{": "not JSON",
    b'{"messages": [{"content": "\xff"}]}': "not JSON",
    "[1]": "a JSON list, where an object is wanted",
    "{}": "neither a body nor messages",
    '{"messages": []}': "at least one message",
    '{"messages": "hi"}': "at least one message",
    '{"body": 1}': "body must be an object",
    '{"body": {"messages": [{}]}, "url": "/v1/embeddings"}': "it is 'POST' '/v1/embeddings': only POST",
    '{"body": {"messages": [{}]}, "method": "GET"}': "only POST",
    '{"custom_id": 7, "messages": [{}]}': "custom_id must be a string",
    '{"custom_id": "", "messages": [{}]}': "custom_id must be a string",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=map(repr, BAD))
def test_a_bad_line_is_told_by_its_number_and_stops_no_other(text: str | bytes, said: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    good = b'{"messages": [{}]}\n'
    first, bad, last = read(good + data + b"\n" + good)
    assert isinstance(bad, BadLine)
    assert (bad.line, first.line, last.line) == (2, 1, 3)
    assert said in str(bad.error)


def test_a_bad_row_of_csv_stops_no_other() -> None:
    found = read(b'text\nhi\na,b\n"x" y\n\xff\nho', "csv", SUMMARISE)
    assert [item.line for item in found] == [2, 3, 4, 5, 6]
    assert [isinstance(item, BadLine) for item in found] == [False, True, True, True, False]


def test_a_column_that_is_named_twice_is_refused_since_nobody_knows_which_is_meant() -> None:
    with pytest.raises(ParameterError, match="the first line names 'text' more than once"):
        read("text,mood,text\nhi,good,ho", "csv", SUMMARISE)
    assert one("text,,\nhi,,", "csv", SUMMARISE).line == 2


def gather(items: Iterator[Any]) -> list[Any]:
    async def run() -> list[Any]:
        return [item async for item in without_blocking(items)]

    return asyncio.run(run())


def test_what_is_read_on_a_thread_comes_whole_and_in_order_and_so_does_its_error() -> None:
    assert gather(iter(range(1, 1000))) == list(range(1, 1000))

    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("the pipe broke")

    with pytest.raises(LookupError, match="the pipe broke"):
        gather(broken())


def test_a_row_without_the_template_s_field_is_a_bad_line() -> None:
    (bad,) = read('{"body": "hi"}', reader=SUMMARISE)
    assert isinstance(bad, BadLine)
    assert str(bad.error) == "there is no 'text' for the template; there is 'body'"


@pytest.mark.parametrize("given", ["Hello", HELLO, {"messages": HELLO}, {"body": {"messages": HELLO}}])
def test_a_request_from_python_may_be_a_prompt_messages_a_body_or_a_batch_line(given: Any) -> None:
    item = Reader().read(given, 3)
    assert item == BulkRequest(custom_id="line-3", body={"messages": HELLO}, line=3, is_plain=True)


@pytest.mark.parametrize(
    "given", [3, b"x", {"custom_id": "\ud800", "messages": HELLO}, "\ud800", {"messages": [{1.5: 2}]}]
)
def test_what_is_no_request_is_a_bad_item(given: Any) -> None:
    assert isinstance(Reader().read(given, 1), BadLine)


def test_a_second_line_of_the_same_name_is_a_bad_line() -> None:
    names = Names()
    items = [names.checked(item) for item in read('{"custom_id": "a", "messages": [{}]}\n' * 2 + "{")]
    assert [isinstance(item, BadLine) for item in items] == [False, True, True]
    assert "has come before" in str(items[1].error) if isinstance(items[1], BadLine) else False


def test_a_key_is_of_the_name_and_the_body_in_whatever_order() -> None:
    def key(custom_id: str, **body: Any) -> int:
        return BulkRequest(custom_id=custom_id, body=body, line=1).key

    assert key("a", x={"b": 1, "c": 2}, y=1) == key("a", y=1, x={"c": 2, "b": 1})
    assert len({key("a", x=1), key("b", x=1), key("a", x=2), key("a", y=1)}) == 4
