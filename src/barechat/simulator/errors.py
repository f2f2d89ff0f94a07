"""Which errors can the API answer with? Each by its code, and the one that a bare status stands for."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from barechat.simulator.refusals import Refusal

_BILLING: Final = (
    "For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes."
)
# fmt: off
_ERRORS: Final = (
    Refusal(status=400, message="The simulator's scenario refuses this request.", code="invalid_value"),
    Refusal(status=400, message="Unsupported parameter: the simulator's scenario refuses it.",
            code="unsupported_parameter"),
    Refusal(status=400, message="This model's maximum context length is exceeded. Please reduce the length of the "
            "messages.", param="messages", code="context_length_exceeded"),
    Refusal(status=400, message="The response was filtered due to the prompt triggering the content management policy. "
            "Please modify your prompt and retry.", code="content_filter"),
    Refusal(status=401, message="Incorrect API key provided.", code="invalid_api_key"),
    Refusal(status=403, message="Country, region, or territory not supported.", type="request_forbidden",
            code="unsupported_country_region_territory"),
    Refusal(status=404, message="The model does not exist or you do not have access to it.", code="model_not_found"),
    Refusal(status=429, message="Rate limit reached for requests. Please try again later.", type="requests",
            code="rate_limit_exceeded"),
    Refusal(status=429, message="Requests come too fast. Please slow down.", type="requests", code="slow_down"),
    Refusal(status=429, message=f"You exceeded your current quota, please check your plan and billing details. "
            f"{_BILLING}", type="insufficient_quota", code="insufficient_quota"),
    Refusal(status=429, message=f"You have no credits remaining. {_BILLING}", type="insufficient_quota",
            code="credit_balance_exhausted"),
    Refusal(status=500, message="The server had an error while processing your request. Sorry about that!",
            type="server_error", code="server_error"),
    Refusal(status=503, message="The server is overloaded. Please try again later.", type="service_unavailable_error",
            code="server_is_overloaded"),
)
# fmt: on
ERRORS: Final[Mapping[str, Refusal]] = {error.code: error for error in _ERRORS if error.code is not None}


def error_of(status: int) -> Refusal:
    """Return the first error of a status; of an unknown one, the nearest to it."""
    nearest = HTTPStatus.INTERNAL_SERVER_ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST
    same = next((error for error in _ERRORS if error.status == status), None)
    base = same or next(error for error in _ERRORS if error.status == nearest)
    return Refusal(status=status, message=base.message, type=base.type, param=base.param, code=base.code)
