"""What does the API refuse, and in which words? Pure: a request in, a refusal or None out.

The messages are those of the official API, so that a client can be shown what it will be shown there.
"""

from collections.abc import Mapping
from typing import Any, Final

from barechat.simulator.contract import wording
from barechat.simulator.contract.capabilities import refuse_capability, refuse_model
from barechat.simulator.contract.combinations import refuse_combination
from barechat.simulator.contract.conversation import refuse_conversation
from barechat.simulator.contract.parameters import BODY, PARAMETERS
from barechat.simulator.contract.wording import Refusal
from barechat.simulator.request import Request, methods_of

__all__ = ["KNOWN_PARAMETERS", "Refusal", "refuse", "refuse_key", "refuse_loosely", "refuse_route"]

KNOWN_PARAMETERS: Final = frozenset(PARAMETERS)
_LONG_KEY: Final = 20


def refuse_route(method: str, path: str) -> Refusal | None:
    """Refuse a path at which there is nothing, and a method that it doesn't take."""
    methods = methods_of(path)
    if not methods:
        return Refusal(status=404, message=f"Invalid URL ({method} {path})")
    if method not in methods:
        return Refusal(
            status=405,
            message=f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)",
            code="method_not_supported",
        )
    return None


def refuse(request: Request) -> Refusal | None:
    """Return the first thing that the API would refuse in a request, None when it would answer."""
    body = request.body
    if body is None:
        return _unreadable(request)
    return (
        _unknown(body)
        or _absent(body)
        or BODY.find_fault(body, ())
        or refuse_combination(request, body)
        or refuse_capability(request, body)
        or refuse_conversation(body["messages"])
    )


def refuse_loosely(request: Request) -> Refusal | None:
    """Return what any server would refuse: what it can't read, and a model that isn't there."""
    if request.body is None:
        return _unreadable(request)
    known = {name: value for name, value in request.body.items() if name in KNOWN_PARAMETERS and value is not None}
    return _absent(known) or BODY.find_fault(known, ()) or refuse_model(request.model or "")


def refuse_key(key: str | None) -> Refusal | None:
    """Refuse a missing key and one that starts with `sk-bad`; any other is good."""
    if key is None:
        return Refusal(
            status=401,
            message="You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    if key.startswith("sk-bad"):
        return Refusal(
            status=401,
            message=f"Incorrect API key provided: {_starred(key)}. "
            "You can find your API key at https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    return None


def _starred(key: str) -> str:
    """Mask a key as the API does in its own message."""
    start, end = (8, 4) if len(key) >= _LONG_KEY else (3, 0)
    return key[:start] + "*" * (len(key) - start - end) + key[len(key) - end :]


def _unreadable(request: Request) -> Refusal:
    if request.json:
        return Refusal(message="Invalid type for the request body: expected an object.", code="invalid_type")
    return Refusal(
        message="We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
    )


def _unknown(body: Mapping[str, Any]) -> Refusal | None:
    if body.keys() <= KNOWN_PARAMETERS:
        return None
    unknown = sorted(body.keys() - KNOWN_PARAMETERS)
    arguments = "argument" if len(unknown) == 1 else "arguments"
    return Refusal(message=f"Unrecognized request {arguments} supplied: {', '.join(unknown)}")


def _absent(body: Mapping[str, Any]) -> Refusal | None:
    if "model" not in body:
        return Refusal(message="you must provide a model parameter")
    return next((wording.missing((name,)) for name in ("model", "messages") if body.get(name) in (None, "")), None)
