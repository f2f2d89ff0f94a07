"""barechat.wire.request: where a request goes, the same as a curl command, and the key in neither."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

from barechat import Client
from barechat.errors import BarechatError, ConfigurationError, ParameterError
from barechat.wire import request as wire
from requesting import BASE, HI, KEY, azure, build, endpoint, sent
from vectors import Case, case_id, cases

# URLs.


@pytest.mark.parametrize("case", cases("azure_urls"), ids=case_id)
def test_azures_urls_and_keys_are_as_others_build_them(case: Case) -> None:
    url = case.get("azure_endpoint") or f"https://{case['resource']}.openai.azure.com/openai/v1"
    at = azure(url, version=case.get("api_version", "2024-02-01"))
    if "expected_url" not in case:
        with pytest.raises(ValueError, match="path"):
            build(at=at, model=case["model"])
        return
    request = build(at=at, model=case["model"])
    assert request.url == case["expected_url"]
    assert sent(request)["model"] == case["model"]
    for name in case.get("expected_header", {}):
        assert name in at.credentials()


@pytest.mark.parametrize(
    ("deployment", "segment"),
    [
        ("a:b@c", "a:b@c"),
        ("a;b=c,d", "a;b=c,d"),
        ("a?b", "a%3Fb"),
        ("é", "%C3%A9"),
        ("a+b&c", "a+b&c"),
        ("...", "..."),
        ("%2e%2e", "%252e%252e"),
        ("../..", "..%2F.."),
        ("[x]", "%5Bx%5D"),
        ("~-._", "~-._"),
    ],
)
def test_a_deployment_is_one_segment_whatever_it_holds(deployment: str, segment: str) -> None:
    for at in (azure("https://r/api/", deployment, "v"), azure("https://r/api/", None, "v")):
        url = build(at=at, model=deployment).url
        assert url == f"https://r/api/openai/deployments/{segment}/chat/completions?api-version=v"


@pytest.mark.parametrize("dots", [".", ".."])
def test_dot_segments_are_refused(dots: str) -> None:
    for at in (azure("https://r", dots, "v"), azure("https://r", None, "v")):
        with pytest.raises(ParameterError, match="path"):
            build(at=at, model=dots)


def test_azures_v1_needs_no_version_and_names_the_deployment_in_the_body() -> None:
    for url in ("https://r", "https://r/", "https://r/openai/v1", "https://r/openai/v1/"):
        request = build(at=azure(url, "dep"), model=None)
        assert request.url == "https://r/openai/v1/chat/completions"
        assert sent(request)["model"] == request.model == "dep"
    assert sent(build(at=azure("https://r", "dep"), model="other"))["model"] == "other"
    raw = wire.seal(azure("https://r", "dep"), {"messages": HI}, None, streamed=False)
    assert sent(raw)["model"] == "dep"


def test_azures_classic_url_names_the_deployment_and_the_body_need_not() -> None:
    request = build(at=azure("https://r", "dep", "v"), model=None)
    assert sent(request) == {"messages": HI}
    assert request.model == "dep"
    assert build(at=azure("https://r", "dep", "2024 &"), model="gpt-4o").url.endswith("version=2024%20%26")
    with pytest.raises(ParameterError, match="deployment"):
        azure("https://r", None, "v").url(None)


@pytest.mark.parametrize("bad", ["\ud800", "a\nb", 5, b"x"])
def test_a_deployment_or_version_that_is_no_text_is_refused_when_the_client_is_made(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="deployment"):
        azure("https://r", bad, "v")
    with pytest.raises(ConfigurationError, match="api_version"):
        azure("https://r", "dep", bad)


def test_a_base_url_keeps_its_path_and_loses_its_last_slashes() -> None:
    for base in (BASE, BASE + "/", BASE + "//"):
        assert build(at=endpoint(base)).url == BASE + "/chat/completions"
    assert build(at=endpoint("http://[::1]:8080")).url == "http://[::1]:8080/chat/completions"
    for host in ("10.0.0.1", "example.com.", "a_b.internal", "bücher.example", "a" * 63 + ".com"):
        assert build(at=endpoint(f"https://{host}/v1")).url == f"https://{host}/v1/chat/completions"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "api.example.com/v1",
        "localhost:8080",
        "ftp://h",
        "https://",
        "https:///v1",
        "https://user:password@h/v1",
        "https://@h/v1",
        "https://h/v1?x=1",
        "https://h/v1?",
        "https://h/v1#x",
        "https://h/v1#",
        "https://h:99999/v1",
        "https://h:0/v1",
        "https://h:port/v1",
        "https://[::1/v1",
        "https://h /v1",
        "https://h\n/v1",
        "https://h/\tv1",
        "https://exa..mple.com/v1",
        "https://.example.com/v1",
        "https://" + "a" * 64 + ".com/v1",
        "https://\N{ZERO WIDTH JOINER}.com/v1",
        KEY,
        None,
        5,
        b"https://h",
    ],
)
def test_a_base_url_that_is_none_is_refused_by_name_and_not_shown(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        endpoint(bad)
    assert "password" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_only_plain_http_to_another_host_is_called_so() -> None:
    for url in ("http://localhost:1", "http://127.0.0.1", "http://127.9.9.9:1/v1", "http://[::1]:1", "https://h"):
        assert not wire.is_plain_remote(url)
    for url in ("http://h", "http://127.0.0.1.evil.com", "http://localhost.evil.com", "http://10.0.0.1"):
        assert wire.is_plain_remote(url)


# curl.

PATH = "/bin:/usr/bin:/usr/local/bin"
NASTY = "it's $HOME `id` $(id) \"q\" \\ !! \n\t* ; & | é 😀 '\\''"


def shell(command: str) -> list[str]:
    """Run a command in bash, with curl replaced by a function that prints its arguments; return them."""
    script = "set +H; curl() { printf '%s\\0' \"$@\"; }\n" + command
    variables = {"OPENAI_API_KEY": KEY, "AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_TOKEN": "tok"} | {"PATH": PATH}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=variables, timeout=30)  # noqa: S603, S607 - our own text, any bash
    assert ran.stderr == b""
    return ran.stdout.decode().split("\0")[:-1]


@pytest.mark.skipif(sys.platform == "win32", reason="curl text is for a POSIX shell")
@pytest.mark.parametrize("streamed", [False, True])
def test_the_curl_command_sends_what_the_client_would_whatever_the_text_holds(streamed: bool) -> None:
    at = endpoint(BASE + "/a'b")
    request = build([{"role": "user", "content": NASTY}], at=at, headers={"X-Note": "it's $x"}, streamed=streamed)
    command = wire.curl(at, request)
    arguments = shell(command)
    headers = [arguments[at + 1] for at, argument in enumerate(arguments) if argument == "-H"]
    assert f"Authorization: Bearer {KEY}" in headers
    ours = {f"{name}: {value}" for name, value in request.headers.items()}
    assert {*headers} - {f"Authorization: Bearer {KEY}"} == ours
    assert request.url in arguments
    assert arguments[-2:] == ["--data-binary", request.body.decode()]
    assert (arguments[0] == "--no-buffer") == streamed
    assert KEY not in command


@pytest.mark.skipif(sys.platform == "win32", reason="curl text is for a POSIX shell")
def test_each_way_to_say_who_one_is_stands_in_the_command_as_a_variable() -> None:
    for at, wanted in (
        (azure("https://r", "d", "v"), f"api-key: {KEY}"),
        (azure("https://r", "d", "v", lambda: "t"), "Authorization: Bearer tok"),
        (endpoint(key="", token=lambda: "t"), f"Authorization: Bearer {KEY}"),
    ):
        command = wire.curl(at, build(at=at))
        assert wanted in shell(command)
        assert KEY not in command
    assert "$" not in wire.curl(endpoint(key=""), build(at=endpoint(key="")))


def test_secrets_in_headers_are_not_in_the_command() -> None:
    command = wire.curl(endpoint(), build(headers={"Cookie": "c=1", "X-Api-Key": "other"}))
    assert "c=1" not in command
    assert "other" not in command


# The key.


def test_the_key_is_in_no_repr_curl_text_error_or_pickle() -> None:
    client = Client(api_key=KEY, base_url=BASE, headers={"X-Api-Key": "other-secret"})
    shown = [repr(client), str(client), repr(client._endpoint), client.curl("Hi", model="m"), repr(build())]
    faulty: list[dict[str, Any]] = [{"temperature": 9}, {"headers": {"a b": "c"}}, {"extra": {"messages": []}}]
    for bad in faulty:
        with pytest.raises(BarechatError) as caught:
            client.curl("Hi", model="m", **bad)
        shown += [repr(caught.value), repr(vars(caught.value)), repr(pickle.dumps(caught.value))]
    for text in shown:
        assert KEY not in text
        assert "other-secret" not in text
