"""Is the key in anything that a test leaves behind? Logs, output, files, what the commands that it ran printed.

A pytest plugin: each test fails at its end if it is. What a test takes for itself (`capsys.readouterr()`) it judges for
itself, and what a traceback shows when locals are asked for (pytest's `--showlocals`) is out of our hands.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from support import KEY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

heard: list[bytes] = []  # what commands printed since the last test; `commands.py` adds to it


def forms_of(secret: str) -> set[bytes]:
    """Return a secret as others may spell it: as it is, in base64 wherever that began, in URLs, in JSON."""
    raw = secret.encode()
    in_base64 = {
        # Without the characters at both ends that depend on what stands beside the secret.
        encode(bytes(before) + raw)[(8 * before + 5) // 6 : (8 * (before + len(raw))) // 6]
        for before in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }
    in_urls = {quote(secret, safe="").encode(), b"".join(b"%%%02X" % byte for byte in raw)}
    in_json = {json.dumps(secret)[1:-1].encode(), b"".join(b"\\u%04x" % byte for byte in raw)}
    return {raw, raw.hex().encode(), secret.encode("utf-16-le"), *in_base64, *in_urls, *in_json}


_FORMS = forms_of(KEY)


def tells_key(data: str | bytes) -> bool:
    """Say whether the tests' key can be read in some data."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return any(form in raw for form in _FORMS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look through what a test left behind, once it has been torn down."""
    report = yield
    if call.when == "teardown":
        places = [place for place, data in _left_behind(item, report) if tells_key(data)]
        heard.clear()
        if places and report.passed:
            report.outcome = "failed"
            report.longrepr = f"the key is in: {', '.join(places)}"
    return report


def _left_behind(item: Any, report: pytest.TestReport) -> Iterator[tuple[str, str | bytes]]:
    yield from report.sections
    yield from (("what a command printed", data) for data in heard)
    directory = item.funcargs.get("tmp_path") if hasattr(item, "funcargs") else None
    for path in directory.rglob("*") if directory is not None else ():
        with contextlib.suppress(OSError):  # a directory, a socket, or what nobody may read
            yield str(path.relative_to(directory)), path.read_bytes()
