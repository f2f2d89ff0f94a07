"""What are both clients made of? Where they send, under which policies, and what their calls have cost so far.

The docstrings of what both have live here; the constructor's makes it long.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

from barechat import settings
from barechat.drive import Outlets
from barechat.errors import ConfigurationError, ParameterError
from barechat.filing import file_receipt
from barechat.money.bound import FRAMING_TOKENS
from barechat.money.budget import Budget
from barechat.money.meter import CostTracker
from barechat.money.prices import Prices
from barechat.notices import warn
from barechat.parameters import Parameters, check, check_kinds, check_tags, shown
from barechat.receipt import Call, Origin, Receipt
from barechat.settings import Caps, Certificate, Timeouts, Verify
from barechat.steps import Senses
from barechat.wire import request as wire
from barechat.wire.retry import RetryPolicy, budget_of
from barechat.wire.secret import secrets_of
from barechat.wire.trace import Trace, Tracer

if TYPE_CHECKING:
    from barechat.ledger.ledger import Ledger

_noise = random.SystemRandom()  # not random's own generator, which a fork would copy into step

_ANY_MODEL = "any"  # for requests that each bring theirs

SENSES = Senses(
    clock=time.monotonic,
    epoch=time.time,
    uniform=_noise.uniform,
    new_id=lambda: os.urandom(16).hex(),
)


class BaseClient:
    """What both clients are made of: where to send, under which policies, and what it has cost so far."""

    def __init__(
        self,
        api_key: str | Callable[[], Any] | None = None,
        base_url: str | None = None,
        *,
        organization: str | None = None,
        project: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        caps: Caps | None = None,
        tags: Mapping[str, str] | None = None,
        prices: Prices | None = None,
        price_as: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        trace: Trace | None = None,
        verify: Verify = True,
        cert: Certificate | None = None,
        proxy: str | None = None,
        _endpoint: wire.Endpoint | None = None,
    ) -> None:
        """Make a client. Nothing is sent, and nothing is connected, before the first call.

        api_key: the key, or a function that returns a bearer token and is asked anew for each attempt; by default
            OPENAI_API_KEY. "" for a server that needs none.
        base_url: by default OPENAI_BASE_URL, or OpenAI's own. `/chat/completions` is appended.
        organization, project: by default OPENAI_ORG_ID and OPENAI_PROJECT_ID.
        headers: sent with every request; they go before ours of the same name.
        timeouts, retry: the policies of calls that bring none of their own.
        caps: the most that is held in memory of one answer.
        tags: names for what this client's calls are for, as in {"job": "nightly"}; the ledger keeps them.
        prices: the price table, as in `Prices.load("prices.json")`; by default barechat's own, overlaid with the file
            that BARECHAT_PRICES names.
        price_as: models or deployments that are priced as another, as in {"my-deployment": "gpt-4o"}.
        ledger: where every attempt is filed.
        budget: one or several that the calls must fit in; they need a ledger, which keeps them.
        trace: told of everything that goes over the wire, secrets masked; see `barechat.wire.trace.TraceEvent`.
        verify: whose certificates are trusted: True for SSL_CERT_FILE, SSL_CERT_DIR or else the system's; the path of
            a PEM file or of a directory with hashed names; an `ssl.SSLContext`; False for anyone's, with a warning.
        cert: the client's own certificate: the path of a PEM file that holds its key too, (certificate, key), or
            (certificate, key, password).
        proxy: `http://user:password@host:port`, or https; by default what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
            NO_PROXY say, "" for none.

        Raises:
            ConfigurationError: no key, a bad URL, an alias for a model without a price, a price file, certificate file
                or proxy that can't be used, a budget without a ledger, or of another amount there.
        """
        check_kinds(ConfigurationError, timeouts=(timeouts, Timeouts), retry=(retry, RetryPolicy), caps=(caps, Caps))
        check_kinds(ConfigurationError, headers=(headers, Mapping), tags=(tags, Mapping), price_as=(price_as, Mapping))
        check_kinds(ConfigurationError, prices=(prices, Prices), trace=(trace, Callable))
        if _endpoint is None:
            key, token = _key_or_token(api_key, "OPENAI_API_KEY")
            account = settings.account_headers(organization, project)
            _endpoint = wire.openai_endpoint(settings.base_url(base_url), key, token, {**account, **(headers or {})})
        if wire.is_plain_remote(_endpoint.base):
            warn(f"{_endpoint.base} is plain http: the key and all text can be read on the way")
        if verify is False:
            warn(f"verify=False: whoever answers for {_endpoint.base} is believed, and gets the key")
        self.timeouts = timeouts or Timeouts()
        self.retry = retry or RetryPolicy()
        self.tags = check_tags(tags or {}, ConfigurationError)
        self._endpoint = _endpoint
        self._ledger = ledger
        self._budgets = _checked_budgets(budget, ledger)
        self._caps = caps or Caps()
        self._trace = trace
        self._prices = (prices or Prices.default()).with_aliases(price_as or {})
        self._origin = Origin(budget_of(self._endpoint.base))
        self._cost = CostTracker(self._prices)
        self._running: set[Any] = set()  # drives, and bulk runs
        self._network = verify, cert, proxy
        self._transport = self._made_transport(*self._network)
        self._origin.secrets = secrets_of(self._transport.proxy_headers)

    @classmethod
    def azure(
        cls,
        endpoint: str | None = None,
        deployment: str | None = None,
        api_version: str | None = None,
        *,
        api_key: str | None = None,
        token: Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """Make a client of an Azure OpenAI resource. `options` are those of the class.

        endpoint: `https://RESOURCE.openai.azure.com`, or an API-management URL, whose path is kept; by default
            AZURE_OPENAI_ENDPOINT.
        deployment: its name; None if each call names one as its model.
        api_version: as in "2024-10-21", for the classic URL; None for the v1 URL, which needs none.
        api_key: by default AZURE_OPENAI_API_KEY, unless there is a token.
        token: a function that returns a bearer token, asked anew for each attempt.

        Raises:
            ConfigurationError: no endpoint or key, a bad URL, or both a key and a token.
        """
        check_kinds(ConfigurationError, token=(token, Callable))
        if token is not None and api_key is not None:
            raise ConfigurationError("pass api_key=… or token=…, not both")
        key, asked = _key_or_token(api_key if token is None else token, "AZURE_OPENAI_API_KEY")
        made = wire.azure_endpoint(
            settings.azure_endpoint(endpoint), deployment, api_version, key, asked, headers or {}
        )
        return cls(_endpoint=made, **options)

    @property
    def cost(self) -> CostTracker:
        """What this client's calls have cost so far, lost attempts included."""
        return self._cost

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that calls must fit in. Set others, and they hold from the next call on."""
        return self._budgets

    @budgets.setter
    def budgets(self, budgets: Budget | Sequence[Budget] | None) -> None:
        self._budgets = _checked_budgets(budgets, self._ledger)

    def curl(
        self,
        messages: wire.Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: Unpack[Parameters],
    ) -> str:
        """Return the same request as a curl command for a POSIX shell. The key is in it as $OPENAI_API_KEY.

        Raises:
            ParameterError: as `chat` would.
        """
        request = self._request(messages, model, parameters, extra, headers, streamed=stream)
        return wire.curl(self._endpoint, request)

    def prompt_tokens(self, messages: wire.Messages, *, model: str | None = None) -> int:
        """Return how many tokens messages are likely to take as a prompt at most, rather too many than too few.

        By the most that the model has taken for a byte so far, and a sixteenth more; before this client has had an
        answer of the model with its count, the most that so many bytes can be.

        Raises:
            ParameterError: as `chat` would.
        """
        request = self._request(messages, model, {}, None, None, streamed=False)
        learned = self._origin.ratios.prompt_tokens(request.payload, len(request.body), request.model)
        return len(request.body) + FRAMING_TOKENS if learned is None else learned

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._endpoint.base}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds the key and open connections, and doesn't pickle; make one where it is needed")

    def _request(
        self,
        messages: wire.Messages,
        model: str | None,
        parameters: Mapping[str, Any],
        extra: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        *,
        streamed: bool,
    ) -> wire.Request:
        return wire.build(
            self._endpoint,
            messages,
            model,
            check(parameters),
            extra,
            headers,
            streamed=streamed,
            ask_usage=not self._origin.refuses_usage_option,
        )

    def _defaults(
        self,
        model: str | None,
        parameters: Mapping[str, Any],
        extra: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        """Return the checked parameters of requests whose messages are yet to come."""
        request = self._request("JSON", model or _ANY_MODEL, parameters, extra, headers, streamed=False)
        found = {name: value for name, value in request.payload.items() if name != "messages"}
        return found if model is not None else {name: value for name, value in found.items() if name != "model"}

    def _call(
        self,
        request: wire.Request,
        timeouts: Timeouts | None,
        retry: RetryPolicy | None,
        tags: Mapping[str, str] | None,
        *,
        is_filed_first: bool = False,
    ) -> Call:
        all_tags = dict(self.tags)
        if not (timeouts is None and retry is None and tags is None):
            check_kinds(ParameterError, timeouts=(timeouts, Timeouts), retry=(retry, RetryPolicy), tags=(tags, Mapping))
            all_tags.update(check_tags(tags or {}, ParameterError))
        return Call(
            endpoint=self._endpoint,
            request=request,
            timeouts=timeouts or self.timeouts,
            policy=retry or self.retry,
            prices=self._prices,
            caps=self._caps,
            tags=all_tags,
            budgets=tuple([budget for budget in self._budgets if budget.covers(all_tags)]) if self._budgets else (),
            is_filed=self._ledger is not None,
            is_filed_first=is_filed_first and self._ledger is not None,
        )

    def _whole_call(
        self,
        messages: wire.Messages,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        tags: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Call:
        """Return the call that `chat` makes of the same."""
        request = self._request(messages, model, parameters, extra, headers, streamed=False)
        return self._call(request, timeouts, retry, tags)

    def _made_transport(self, verify: Verify, cert: Certificate | None, proxy: str | None) -> Any:
        raise NotImplementedError  # each client brings its own

    def _outlets(self) -> Outlets:
        tracer = (
            None
            if self._trace is None
            else Tracer(self._trace, SENSES.epoch, {self._endpoint.key, *self._origin.secrets})
        )
        return Outlets(self._file, tracer, self._ledger, self._running)

    def _file(self, receipt: Receipt) -> None:
        file_receipt(receipt, self._cost)


def _key_or_token(given: str | Callable[[], Any] | None, variable: str) -> tuple[str, Callable[[], Any] | None]:
    if callable(given):
        return "", given
    return settings.api_key(given, variable), None


def _checked_budgets(given: Budget | Sequence[Budget] | None, ledger: Ledger | None) -> tuple[Budget, ...]:
    """Return the budgets of a client."""
    if ledger is not None:
        from barechat.ledger.ledger import Ledger as Kind  # noqa: PLC0415 - SQLite takes a while, and few need it

        check_kinds(ConfigurationError, ledger=(ledger, Kind))
    budgets: list[Budget] = []
    for budget in () if given is None else given if isinstance(given, (list, tuple)) else (given,):
        if not isinstance(budget, Budget):
            raise ConfigurationError(f"budget must be a Budget, a list of them or None, not {shown(budget)}")
        budgets.append(budget)
        if ledger is None:
            raise ConfigurationError(f"{budget} needs a ledger that keeps it: pass ledger=Ledger(path)")
        ledger.check_budget(budget)
    if len({budget.identity for budget in budgets}) < len(budgets):
        raise ConfigurationError("two budgets have the same tag and per: a ledger can't tell them apart; keep one")
    return tuple(budgets)
