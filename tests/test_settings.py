"""barechat.settings: which key, URLs, timeouts, caps and proxies a client uses, and which it refuses."""

from __future__ import annotations

import base64
import copy
import dataclasses
import math
import pickle
import traceback
from typing import Any
from urllib.parse import urlsplit

import pytest

from barechat import settings
from barechat.errors import ConfigurationError
from barechat.settings import Caps, Proxy, Timeouts


def test_a_whole_reply_has_a_total_by_default_and_a_stream_only_if_asked() -> None:
    default = Timeouts()
    assert (default.connect_s, default.first_byte_s, default.idle_s, default.total_s) == (10, 300, 300, 600)
    assert default.stream_total_s is None
    assert Timeouts(total_s=float("600")).stream_total_s == 600
    assert Timeouts(total_s=5).stream_total_s == 5
    assert Timeouts(total_s=None).stream_total_s is None


def test_none_and_more_than_thirty_years_are_no_limit() -> None:
    endless = Timeouts(connect_s=None, first_byte_s=math.inf, idle_s=1e300, total_s=10**400)
    assert (endless.connect_s, endless.first_byte_s, endless.idle_s, endless.total_s) == (None, None, None, None)


@pytest.mark.parametrize("name", ["connect_s", "first_byte_s", "idle_s", "total_s"])
@pytest.mark.parametrize("bad", [0, -1, math.nan, -math.inf, True, "5", [5]])
def test_a_timeout_that_is_no_number_above_0_is_refused_by_name(name: str, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Timeouts(**{name: bad})


def test_timeouts_copy_pickle_and_can_be_replaced() -> None:
    default = Timeouts(connect_s=3)
    assert pickle.loads(pickle.dumps(default)) == copy.deepcopy(default) == default  # noqa: S301 - our own bytes
    changed = dataclasses.replace(default, idle_s=7)
    assert (changed.connect_s, changed.idle_s, changed.stream_total_s) == (3, 7, None)
    assert dataclasses.replace(Timeouts(total_s=9), idle_s=7).stream_total_s == 9
    with pytest.raises(dataclasses.FrozenInstanceError):
        default.connect_s = 5  # type: ignore[misc]


def test_caps_are_whole_numbers_above_0() -> None:
    assert (Caps().body_bytes, Caps().line_bytes) == (64 * 2**20, 16 * 2**20)
    assert Caps(body_bytes=1).body_bytes == 1
    for bad in (0, -1, 1.5, True, "9", None):
        for name in ("body_bytes", "line_bytes"):
            with pytest.raises(ConfigurationError, match=name):
                Caps(**{name: bad})  # type: ignore[arg-type]


def test_the_key_comes_from_the_argument_or_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OTHER", "sk-other")
    assert settings.api_key(None) == "sk-env"
    assert settings.api_key(None, "OTHER") == "sk-other"
    assert settings.api_key("sk-arg") == "sk-arg"
    assert settings.api_key("") == ""


def test_no_key_is_an_error_that_says_where_one_may_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.*api_key=''"):
        settings.api_key(None)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(ConfigurationError):
        settings.api_key(None)


@pytest.mark.parametrize("bad", ["sk-x\n", " sk-x", "sk\r\nX-Evil: 1", "sk-ключ", "sk-\0", "sk-\x7f", b"sk-x", 5])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    bad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings.api_key(bad)
    assert "sk" not in str(caught.value)
    if isinstance(bad, str) and "\0" not in bad:
        monkeypatch.setenv("OPENAI_API_KEY", bad)
        with pytest.raises(ConfigurationError):
            settings.api_key(None)


def test_urls_come_from_the_argument_their_variable_or_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert settings.base_url(None) == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert settings.base_url(None) == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert settings.base_url(None) == "http://localhost:1/v1"
    assert settings.base_url("http://other") == "http://other"

    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    for given in (None, ""):
        with pytest.raises(ConfigurationError, match="AZURE_OPENAI_ENDPOINT"):
            settings.azure_endpoint(given)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    assert settings.azure_endpoint(None) == "https://r.openai.azure.com"
    assert settings.azure_endpoint("https://s") == "https://s"


def test_an_organization_and_a_project_are_named_in_headers_only_if_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_ORG_ID", raising=False)
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj")
    assert settings.account_headers(None, None) == {"OpenAI-Project": "proj"}
    assert settings.account_headers("org", "") == {"OpenAI-Organization": "org"}


def test_the_proxy_is_the_one_that_the_environment_names_for_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert settings.proxy_for("https", "api.openai.com") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://one:1")
    assert settings.proxy_for("https", "api.openai.com") == Proxy("http://one:1")
    assert settings.proxy_for("http", "api.openai.com") is None
    monkeypatch.setenv("all_proxy", "http://two:2")
    assert settings.proxy_for("http", "api.openai.com") == Proxy("http://two:2")
    monkeypatch.setenv("NO_PROXY", "localhost,.openai.com")
    assert settings.proxy_for("https", "api.openai.com") is None
    assert settings.proxy_for("https", "localhost") is None
    assert settings.proxy_for("https", "example.com") == Proxy("http://one:1")


def test_a_proxy_s_user_and_password_are_kept_apart_from_its_url_as_curl_sends_them() -> None:
    for given, url, credentials in (
        ("127.0.0.1:3128", "http://127.0.0.1:3128", None),
        ("me:secret@proxy:1", "http://proxy:1", b"me:secret"),
        ("[::1]:3128", "http://[::1]:3128", None),
        ("https://proxy:1/", "https://proxy:1", None),
        ("HTTP://proxy", "http://proxy", None),
        ("http://me@proxy:", "http://proxy", b"me:"),
        ("http://m%C3%A9:p%40s:%00%ff@proxy:1", "http://proxy:1", "mé:p@s:".encode() + b"\0\xff"),
        ("http://me:p@ss@proxy:1", "http://proxy:1", b"me:p@ss"),
    ):
        proxy = settings.proxy_for("http", "example.com", given=given)
        authorization = None if credentials is None else f"Basic {base64.b64encode(credentials).decode()}"
        assert proxy == Proxy(url, authorization)
        assert "Basic" not in repr(proxy)


def test_a_given_proxy_stands_whatever_the_environment_says_and_an_empty_one_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert settings.proxy_for("https", "example.com", given="http://mine:1") == Proxy("http://mine:1")
    assert settings.proxy_for("https", "example.com") is None
    monkeypatch.delenv("NO_PROXY")
    assert settings.proxy_for("https", "example.com") == Proxy("http://env:1")
    assert settings.proxy_for("https", "example.com", given="") is None
    with pytest.raises(ConfigurationError, match="proxy must be a URL as a string"):
        settings.proxy_for("https", "example.com", given=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exceptions", "excepted", "not_excepted"),
    [
        ("*", ["example.com", "10.0.0.1", "::1"], []),
        ("example.com", ["example.com", "a.b.example.com", "EXAMPLE.com.", "example.com:444"], ["notexample.com"]),
        (".example.com", ["a.example.com", "example.com"], ["badexample.com"]),
        ("*.example.com", ["a.example.com"], ["badexample.com"]),
        ("Example.COM", ["example.com"], ["com"]),
        ("a.com, b.com\tc.com", ["a.com", "b.com", "c.com"], ["d.com"]),
        ("example.com:443", ["example.com", "example.com:443", "a.example.com"], ["example.com:444"]),
        ("10.0.0.0/8", ["10.1.2.3", "10.255.255.255"], ["11.0.0.1", "10.example.com", "::1"]),
        ("10.1.2.3/8", ["10.9.9.9"], ["11.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.11", "1.127.0.0.1.com"]),
        ("127.0.0.1:8080", ["127.0.0.1:8080"], ["127.0.0.1:8081"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "127.0.0.1"]),
        ("[::1]", ["::1"], ["::2"]),
        ("[::1]:8080", ["[::1]:8080"], ["[::1]:8081"]),
        ("fe80::/10", ["fe80::1"], ["fec0::1"]),
        ("", [], ["example.com", "10.0.0.1"]),
        (" , .,:80, 10.0.0.0/99, [::1", [], ["example.com", "10.0.0.1", "::1"]),
    ],
)
def test_no_proxy_excepts_hosts_domains_ports_and_networks(
    exceptions: str, excepted: list[str], not_excepted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", exceptions)
    for origin in excepted + not_excepted:
        parts = urlsplit(f"//{f'[{origin}]' if origin.count(':') > 1 and '[' not in origin else origin}")
        found = settings.proxy_for("https", parts.hostname or "", parts.port)
        assert (found is None) == (origin in excepted), origin


@pytest.mark.parametrize(
    "bad",
    [
        "socks5://me:secret@proxy:1",
        "socks5h://proxy:1",
        "ftp://proxy:1",
        "://proxy",
        "http://",
        "http://:3128",
        "http://me:secret@",
        "http://proxy:secret",
        "http://proxy:0",
        "http://proxy:99999",
        "http://me:se/secret@proxy:1",
        "http://[::1",
        "http://pro xy:1",
        "http://pro..xy:1",
        "http://me:secret@" + "a" * 64 + ":1",
    ],
)
def test_a_proxy_that_can_t_be_used_is_refused_by_its_variable_and_not_shown(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, scheme in (("HTTPS_PROXY", "https"), ("ALL_PROXY", "http")):
        monkeypatch.setenv(variable, bad)
        with pytest.raises(ConfigurationError, match=variable) as caught:
            settings.proxy_for(scheme, "example.com")
        assert "secret" not in "".join(traceback.format_exception(caught.value)).partition("barechat.errors")[2]
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        with pytest.raises(ConfigurationError, match=r"^proxy "):
            settings.proxy_for(scheme, "example.com", given=bad)
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert settings.proxy_for("https", "example.com") is None
