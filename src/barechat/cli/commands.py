"""Which commands are there? Each in its own file, which imports what it needs when it runs."""

from __future__ import annotations

import click

from barechat import __version__
from barechat.cli.ask import ask
from barechat.cli.budget import budget
from barechat.cli.bulk import bulk
from barechat.cli.chat import chat
from barechat.cli.cost import cost
from barechat.cli.demo import demo
from barechat.cli.ledger import ledger
from barechat.cli.prices import prices
from barechat.cli.sessions import sessions
from barechat.cli.sim import sim


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def barechat() -> None:
    """Ask language models over the Chat Completions API: every byte visible, every cent counted.

    The key is OPENAI_API_KEY; OPENAI_BASE_URL names another server than OpenAI's.
    """


for command in (ask, chat, sessions, bulk, cost, budget, ledger, prices, sim, demo):
    barechat.add_command(command)
