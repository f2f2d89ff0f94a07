"""What does each scenario that ships do on the wire? Writes docs/scenarios.md from real runs: `make docs`.

The clock stands still, but where it is moved by hand, and nothing is measured: every run gives the same page.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import barechat.simulator
from barechat.simulator import Simulator, scenario_summaries
from barechat.simulator.decide import Call, Judge
from barechat.simulator.plan import Stall, Until, plan
from barechat.simulator.request import read_request
from barechat.simulator.scenario import parse_scenario
from raw_exchange import Answer, post
from wire_text import show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE: Final = Path(__file__).parent.parent / "docs" / "scenarios.md"
_SHIPPED: Final = Path(barechat.simulator.__file__).parent / "scenarios"
_NOW_S: Final = 1_800_000_000.0
_CHAT: Final = "/v1/chat/completions"
_AZURE: Final = "/openai/deployments/gpt-4o-mini/chat/completions"
_UNTOLD: Final = ("name", "every", "probability", "body", "raw", "content_type", "status")
_INTRODUCTION: Final = """\
# The scenarios that come with the simulator

`barechat sim --scenario NAME` or `Simulator("NAME")` follows one; [simulator.md](simulator.md) explains the keys that
they are made of. `make docs` writes this page from what came over the wire, asked by a client that knows HTTP and
nothing else, and the suite fails when the page isn't what the simulator does.

Shortened is marked by `…`: long texts, in a stream what a chunk has before its `choices` where an earlier one has the
same, and chunks that differ only by their word. JSON bodies are laid out in lines. Of the headers, those are shown that
matter. The streams are asked for without padding (`include_obfuscation`).
"""


def make_page() -> str:
    """Run every scenario and return the page."""
    summaries, tables = scenario_summaries(), {path.stem: _read(path) for path in _SHIPPED.glob("*.toml")}
    servers = sorted(
        (name for name in summaries if "dialect" in tables[name]), key=lambda name: (name != "openai", name)
    )
    troubles = [name for name in summaries if name not in servers]
    parts = [
        _INTRODUCTION,
        _fill(f"Servers, each in its own dialect: {_links(servers)}.") + "\n",
        _fill(f"Troubles, in the official API's dialect: {_links(troubles)}."),
    ]
    sections = [
        part
        for name in (*servers, *troubles)
        for part in (f"## {name}", _fill(summaries[name]), *_section(name, tables[name]))
    ]
    return "\n".join(parts) + "\n\n" + "\n\n".join(sections) + "\n"


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def _fill(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _links(names: list[str]) -> str:
    return ", ".join(f"[{name}](#{name.replace('.', '')})" for name in names)


def _section(name: str, table: dict[str, Any]) -> Iterable[str]:
    if "dialect" in table:
        return _dialect(name)
    writers = {"flaky": _flaky, "hostile": _hostile, "outage": _outage, "rate-limited": _rate_limited, "slow": _slow}
    return writers[name](table)


def _dialect(name: str) -> Iterator[str]:
    with Simulator(name, clock=lambda: _NOW_S) as simulator:
        url = simulator.url
        yield _block("A whole reply", post(url, _ask(max_completion_tokens=6)))
        usage = {"include_usage": True, "include_obfuscation": False}
        yield _block("A stream", post(url, _ask(max_completion_tokens=6, stream=True, stream_options=usage)))
        broken = {"error_after": 1, "reply": "It will rain until the evening."}
        yield _block("An error within a stream", post(url, _ask(stream=True), fault=broken))
        refused = post(url, _ask(), key="sk-bad-0123456789")
        if refused.status == HTTPStatus.OK:
            yield "It asks for no key."
            yield _block("A model that isn't there", post(url, _ask(model="no-such-model")))
        else:
            yield _block("A bad key", refused)
        yield from _peculiar(name, url)
        simulator.limit(requests_per_min=1, burst_s=1)
        post(url, _ask())
        yield _block("Too many requests", post(url, _ask()))


def _peculiar(name: str, url: str) -> Iterator[str]:
    """Yield what only this server does."""
    if name == "azure":
        yield _block("A deployment that isn't there", post(url, _ask(model="no-such-deployment")))
        yield _block("A deployment's URL without `api-version`", post(url, _ask(), path=_AZURE))
    elif name == "llama.cpp":
        yield _block("A prompt of 3,000 words, streamed", post(url, _ask("word " * 3000, stream=True)))
        yield _block("A body that isn't JSON", post(url, b"{"))
    elif name == "litellm":
        yield _block("No key at all", post(url, _ask(), key=None))


def _flaky(table: dict[str, Any]) -> Iterator[str]:
    rows: list[list[str]] = []
    shown: dict[str, str] = {}
    with Simulator("flaky", clock=lambda: _NOW_S) as simulator:
        for number in range(1, 16):
            tries: list[str] = []
            while "reply" not in tries:
                answer = post(simulator.url, _ask(f"Question {number}?"))
                tries.append(_decision(simulator))
                if tries[-1] != "reply":
                    shown.setdefault(tries[-1], _block(_title(table, tries[-1]), answer))
            rows.append([str(number), ", ".join(tries)])
    yield "Fifteen requests for whole replies, each tried until it got through:"
    yield _grid(["request", "tries"], rows)
    yield "What came, the first time that it went wrong in each way:"
    yield from shown.values()


def _hostile(table: dict[str, Any]) -> Iterator[str]:
    count = len(table["fault"])
    yield f"{count} streams in a row, of 12 tokens each; the next {count} meet the same things again:"
    with Simulator("hostile", clock=lambda: _NOW_S) as simulator:
        for number in range(1, count + 1):
            asked = _ask(stream=True, max_completion_tokens=12, stream_options={"include_obfuscation": False})
            answer = post(simulator.url, asked, check_after=True)
            yield _block(f"{number}. {_title(table, _decision(simulator))}", answer, in_brief=True)


def _outage(table: dict[str, Any]) -> Iterator[str]:
    seen: list[str] = []
    with Simulator("outage", clock=lambda: _NOW_S) as simulator:
        for _ in range(6):
            answer = post(simulator.url, _ask())
            name = _decision(simulator)
            if name not in seen:
                yield _block(_title(table, name), answer)
            seen.append(name)
    yield f"Six requests in a row: {', '.join(seen)}."


def _rate_limited(table: dict[str, Any]) -> Iterator[str]:
    now_s = _NOW_S
    rows: list[list[str]] = []
    refused: list[str] = []
    with Simulator("rate-limited", clock=lambda: now_s) as simulator:
        for after_s, most_tokens in ((0, 20), (0, 20), (0, 20), (1, 20), (3, 500)):
            now_s = _NOW_S + after_s
            answer = post(simulator.url, _ask(max_completion_tokens=most_tokens))
            told = [answer.headers.get(f"x-ratelimit-remaining-{what}", "") for what in ("requests", "tokens")]
            waits_ms = answer.headers.get("retry-after-ms", "")
            rows.append([f"{after_s} s", str(most_tokens), str(answer.status), *told, waits_ms])
            if answer.status != HTTPStatus.OK:
                refused.append(_block(f"The {answer.status} at {after_s} s", answer))
    yield f"The limit is {_spell(table['limit'][0])}. The clock is moved by hand:"
    yield _grid(
        ["at", "max_completion_tokens", "status", "remaining requests", "remaining tokens", "retry-after-ms"], rows
    )
    yield from refused


def _slow(table: dict[str, Any]) -> Iterator[str]:
    judge = Judge(parse_scenario(table, "slow"), None, started=_NOW_S)
    rows = [_timing(judge, *case) for case in ((1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (1, 4), (1, 15))]
    settings = {name: table[name] for name in table if name != "fault"}
    yield f"Its settings are {_spell(settings)}."
    yield (
        "Streams of 40 tokens each, in seconds after the request: five questions, and the first of them again while\n"
        "others are being answered. The simulator keeps to these times; they are worked out, not measured."
    )
    yield _grid(["question", "answers under way", "first token", "last token", "silent for"], rows)


def _timing(judge: Judge, number: int, answering: int) -> list[str]:
    asked = _ask(f"Question {number}?", stream=True, max_completion_tokens=40)
    request = read_request(json.dumps(asked).encode(), _CHAT, "sk-any")
    call = Call(method="POST", path=_CHAT, query="", simulate=None, attempt=1, request=request)
    decision = judge.decide(call, answering=answering, now=_NOW_S)
    steps = list(plan(decision.answer, decision.fault, decision.headers))
    due_s = [step.seconds for step in steps if isinstance(step, Until)]
    silent_s = sum(step.seconds or 0 for step in steps if isinstance(step, Stall))
    return [str(number), str(answering), f"{due_s[0]:.2f} s", f"{due_s[-1] + silent_s:.2f} s", f"{silent_s:.0f} s"]


def _ask(text: str = "Hello?", **parameters: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **parameters}


def _decision(simulator: Simulator) -> str:
    """Return what the log calls the last answer of the chat endpoint."""
    return [record["decision"] for record in simulator.requests if record["path"] == _CHAT][-1]


def _title(table: dict[str, Any], name: str) -> str:
    """Return a fault's name with its keys, but for those that tell when it strikes or hold what is shown below."""
    fault = next(one for one in table["fault"] if one["name"] == name)
    told = {key: fault[key] for key in fault if key not in _UNTOLD}
    return f"{name}: {_spell(told)}" if told else name


def _spell(table: dict[str, Any]) -> str:
    spelt = ", ".join(f"{key} = {_toml(value)}" for key, value in table.items())
    return f"`{spelt}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in value.items())} }}"
    return json.dumps(value)


def _block(title: str, answer: Answer, *, in_brief: bool = False) -> str:
    return f"**{title}**\n\n```text\n{show(answer, in_brief=in_brief)}\n```"


def _grid(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])


if __name__ == "__main__":
    PAGE.write_text(make_page(), "utf-8", newline="\n")
