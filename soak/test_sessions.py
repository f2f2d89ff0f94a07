"""A long conversation: its prompt stays under its limit, and its file is whole whenever its writer is killed."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from barechat.simulator import Simulator
from support import KEY, MODEL

if TYPE_CHECKING:
    from pathlib import Path

TURNS = 1000
MOST_TOKENS = 2000
_TALK = f"""
import sys
from barechat import ChatSession, Client
with Client({KEY!r}, sys.argv[1]) as client:
    with ChatSession(client, "Be brief.", model={MODEL!r}, max_prompt_tokens={MOST_TOKENS}, path=sys.argv[2],
                     summarize_with="gpt-4.1-nano") as session:
        told = sum(message["role"] == "user" for message in session.messages)
        for number in range(told, {TURNS}):
            print(number, flush=True)
            reply = session.send(f"Question {{number}}: what then? " + "And so on. " * 20)
            assert reply.usage.prompt_tokens <= {MOST_TOKENS}, reply.usage
"""


def test_a_thousand_turns_stay_under_the_limit_and_lose_none_to_kills(tmp_path: Path) -> None:
    path, dice, kills = tmp_path / "talk.json", random.Random(6), 0  # noqa: S311 - when to kill is no secret
    with Simulator() as simulator:
        told = 0
        while told < TURNS:
            command = [sys.executable, "-c", _TALK, simulator.url, str(path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as talking:
                assert talking.stdout is not None
                turns = sum(1 for _ in itertools.islice(talking.stdout, dice.randint(1, 80)))
                time.sleep(dice.uniform(0, 0.01))  # into the last of them, or the one after it
                talking.kill()
            assert talking.returncode in {0, -signal.SIGKILL}
            kills += talking.returncode != 0
            assert turns > 0
            before = told
            told = _told(path)
            assert told >= before
    print(f"{told} turns, {kills} kills")
    assert kills >= 10


def _told(path: Path) -> int:
    """Return how many turns a file holds, all of them whole and in order."""
    if not path.exists():
        return 0
    messages = [message for message in json.loads(path.read_bytes()) if message["role"] != "system"]
    questions = [message["content"] for message in messages[::2]]
    assert [message["role"] for message in messages] == ["user", "assistant"] * len(questions)
    assert [text.split(":")[0] for text in questions] == [f"Question {number}" for number in range(len(questions))]
    return len(questions)
