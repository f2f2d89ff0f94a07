"""What do `ask` and `chat` take alike, and what comes of it? A client, maybe a session, and what each call takes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from barechat.cli.ledgers import filing, ledger_option, place
from barechat.cli.sessions import directory, file_name, made
from barechat.cli.values import parameters_of, tag_option, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from barechat.cli.ledgers import Filing
    from barechat.client import Client
    from barechat.records import Attempt
    from barechat.session import ChatSession
    from barechat.wire.trace import Trace

    _Command = TypeVar("_Command", bound=Callable[..., Any])

DEFAULT_MODEL = "gpt-4o-mini"

model_option = click.option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    envvar="BARECHAT_MODEL",
    show_default=True,
    show_envvar=True,
    metavar="NAME",
    help="The model to call.",
)

_OPTIONS = (
    click.option("-c", "--session", "name", metavar="NAME", help="The session to go on with, or to begin. It is kept."),
    model_option,
    click.option("-s", "--system", metavar="TEXT", help="A system message before all; in a session, from now on."),
    click.option(
        "-p",
        "--parameter",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any parameter of the API, as in -p temperature=0.2. The value is JSON, else text. Repeatable.",
    ),
    click.option(
        "-x",
        "--extra",
        "extras",
        multiple=True,
        metavar="NAME=VALUE",
        help="The same, sent unchecked: for what only your server knows. Repeatable.",
    ),
    click.option("--wire", is_flag=True, help="Show every byte sent and received, the key masked."),
    click.option("--base-url", metavar="URL", help="The server's URL.  [default: OPENAI_BASE_URL, else OpenAI's]"),
    tag_option,
    ledger_option,
    click.option("--no-ledger", is_flag=True, help="File the calls nowhere; no budget holds for them."),
)


def call_options(command: _Command) -> _Command:
    """Give a command these options. It passes what they were given to `terms_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a model is called, in which session if any, and under what its calls are filed."""

    name: str | None
    model: str
    system: str | None
    parameters: dict[str, Any]
    extra: dict[str, Any]
    tags: dict[str, str]
    wire: bool
    base_url: str | None
    ledger: str | None
    is_filed: bool

    @property
    def options(self) -> dict[str, Any]:
        """What each call takes besides messages and model."""
        return {"extra": self.extra, "tags": self.tags, **self.parameters}


def terms_of(
    *,
    name: str | None,
    parameters: Sequence[str],
    extras: Sequence[str],
    tags: Sequence[str],
    path: str | None,
    no_ledger: bool,
    **given: Any,
) -> Terms:
    """Return what the options come to. A session's name is its calls' tag `session`, unless another is given.

    Raises:
        click.UsageError: they contradict each other, or one can't be understood.
    """
    if path is not None and no_ledger:
        raise click.UsageError("--ledger and --no-ledger contradict each other.")
    if name is not None:
        file_name(name)
    return Terms(
        name=name,
        parameters=parameters_of(parameters, "-p"),
        extra=parameters_of(extras, "-x"),
        tags={**({} if name is None else {"session": name}), **tags_of(tags)},
        ledger=path,
        is_filed=not no_ledger,
        **given,
    )


@contextlib.contextmanager
def calling(
    terms: Terms,
    warn: Callable[[str], None],
    *,
    on_retry: Callable[[Attempt], None] | None,
    trace: Trace | None,
) -> Iterator[tuple[Client, Filing]]:
    """Make a client, and open the ledger that its calls are filed in; once all is done, see that they are.

    Raises:
        BarechatError: there is no key, a URL is none, or a ledger that was named can't be used.
    """
    from barechat.client import Client  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.wire.retry import RetryPolicy  # noqa: PLC0415 - likewise

    with (
        filing(place(terms.ledger) if terms.is_filed else None, warn) as filed,
        Client(
            base_url=terms.base_url,
            retry=RetryPolicy(on_retry=on_retry),
            trace=trace,
            ledger=filed.ledger,
            budget=filed.budgets,
        ) as client,
    ):
        filed.client = client
        yield client, filed
        filed.settle()


def session_of(terms: Terms, client: Client) -> ChatSession:
    """Open the session of that name, or one that isn't kept.

    Its file is begun with its first turn, which puts the system message there, too.

    Raises:
        ConfigurationError: it can't be read, or is open elsewhere.
        click.ClickException: there can be no sessions.
    """
    from barechat.session import ChatSession  # noqa: PLC0415 - for a quick `barechat --help`

    path = None if terms.name is None else made(directory()) / file_name(terms.name)
    session = ChatSession(client, terms.system, model=terms.model, path=path, **terms.options)
    if terms.system is not None and terms.system != (session.system_prompt or ""):
        session.messages = _led_by(terms.system, session.messages)  # and not by its setter, which writes the file
    return session


def messages_before(terms: Terms) -> list[dict[str, Any]]:
    """Return what is sent before a new message: the system's, and the session's as it is on the disk.

    Raises:
        ConfigurationError: it can't be read.
    """
    from barechat import history  # noqa: PLC0415 - for a quick `barechat --help`
    from barechat.session_file import read_messages  # noqa: PLC0415 - likewise

    path = None if terms.name is None else directory() / file_name(terms.name)
    messages = read_messages(path) if path is not None and path.exists() else []
    return history.sent(messages if terms.system is None else _led_by(terms.system, messages))


def _led_by(system: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with this system message in place of what leads them; "" stands for none."""
    from barechat import history  # noqa: PLC0415 - for a quick `barechat --help`

    return [*([{"role": "system", "content": system}] if system else []), *messages[history.lead(messages) :]]
