"""Both clients over TLS, IPv6 and redirects: whom they trust, what they show of themselves, where the key goes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from barechat import ApiError, AsyncClient, Client, ConfigurationError, ConnectionFailed
from barechat.transport.common import tls_fault
from barechat.transport.tls import made_context
from networking import ANSWERS, Authority, Proxy, ask_both_ways
from support import KEY, MODEL, ONCE, ByteServer, Connect, Sent, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLASSES: dict[str, type[Client | AsyncClient]] = {"blocking": Client, "asyncio": AsyncClient}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_server(authority: Authority) -> Iterator[ByteServer]:
    with authority.server() as server:
        yield server


def hashed(authority: Authority) -> Path:
    """Return a directory that holds the authority's certificate as OpenSSL looks for it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command for a certificate's hash")
    command = [openssl, "x509", "-subject_hash", "-noout", "-in", str(authority.pem)]
    digest = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()  # noqa: S603 - our own
    directory = authority.directory / "trusted"
    directory.mkdir()
    shutil.copy(authority.pem, directory / f"{digest}.0")
    return directory


# Whom it trusts


@pytest.mark.parametrize(
    "given",
    [
        lambda authority: str(authority.pem),
        lambda authority: authority.pem,
        hashed,
        lambda authority: ssl.create_default_context(cafile=authority.pem),
    ],
    ids=["path as text", "path", "directory", "context"],
)
def test_the_authority_that_verify_names_is_trusted(
    given: Callable[[Authority], Any], authority: Authority, tls_server: ByteServer, connect: Connect
) -> None:
    ask_both_ways(connect(tls_server.url, verify=given(authority)))


def test_what_the_environment_names_is_trusted_by_default(
    authority: Authority, tls_server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.directory / "nowhere"))
    ask_both_ways(connect(tls_server.url))
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed(authority)))
    tls_server.answers[:] = ANSWERS
    ask_both_ways(connect(tls_server.url))


def test_both_of_the_environment_s_are_trusted_at_once(
    authority: Authority, tls_server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path / "other").pem))
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed(authority)))
    ask_both_ways(connect(tls_server.url))


def test_who_trusts_anyone_is_warned_once_and_where_they_stand(kind: str, tls_server: ByteServer) -> None:
    with pytest.warns(UserWarning, match="verify=False") as warned:
        CLASSES[kind](KEY, tls_server.url, verify=False)
    with pytest.warns(UserWarning, match="verify=False") as warned_of_azure:
        CLASSES[kind].azure(tls_server.url, "it", "2024-10-21", api_key=KEY, verify=False)
    assert [warning.filename for warning in (*warned, *warned_of_azure)] == [__file__] * 2


def test_who_trusts_anyone_is_answered_and_warned_no_more(tls_server: ByteServer, connect: Connect) -> None:
    with pytest.warns(UserWarning, match="verify=False"):
        caller = connect(tls_server.url, verify=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask_both_ways(caller)


def test_a_certificate_that_can_t_be_verified_is_tried_once_and_says_what_to_do(
    tls_server: ByteServer, connect: Connect
) -> None:
    caller = connect(tls_server.url)
    for ask in (caller.chat, lambda: list(caller.stream())):
        with pytest.raises(ConnectionFailed, match=r"certificate can't be verified.*verify=.*SSL_CERT_FILE") as caught:
            ask()
        assert (caught.value.sent, caught.value.retryable, len(caught.value.attempts)) == (False, False, 1)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert tls_server.requests == []


def test_a_certificate_of_another_name_is_none(tmp_path: Path, connect: Connect) -> None:
    authority = Authority(tmp_path, name="example.org")
    with authority.server() as server:
        with pytest.raises(ConnectionFailed, match="can't be verified") as caught:
            connect(server.url, verify=authority.pem).chat()
        assert len(caught.value.attempts) == 1
        assert server.requests == []


def test_azure_takes_the_same_trust_and_certificate(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path, asks=True)
    with authority.server() as server:
        client = Client.azure(server.url, "it", api_key=KEY, verify=authority.pem, cert=authority.both)
        with client:
            assert client.chat("Hi").text
        assert server.requests[0].head.startswith("POST /v1/openai/v1/chat/completions ")


# What it shows of itself


@pytest.mark.parametrize(
    "given",
    [
        lambda authority: authority.both,
        lambda authority: str(authority.both),
        lambda authority: (authority.cert, authority.key),
        lambda authority: (str(authority.cert), authority.key, None),
        lambda authority: (authority.cert, locked(authority), "pass"),
        lambda authority: (authority.cert, locked(authority), b"pass"),
    ],
    ids=["path", "path as text", "two files", "no password", "a password", "a password as bytes"],
)
def test_a_client_s_certificate_is_shown_to_a_server_that_asks(
    given: Callable[[Authority], Any], tmp_path: Path, connect: Connect
) -> None:
    authority = Authority(tmp_path, asks=True)
    with authority.server() as server:
        ask_both_ways(connect(server.url, verify=authority.pem, cert=given(authority)))


def locked(authority: Authority) -> Path:
    """Return a file with the client's key under the password "pass"."""
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - trustme's own need

    key = form.load_pem_private_key(authority.key.read_bytes(), None)
    path = authority.directory / "locked.pem"
    lock = form.BestAvailableEncryption(b"pass")
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock))
    return path


def test_a_server_that_refuses_the_client_s_certificate_is_asked_once(tmp_path: Path, connect: Connect) -> None:
    (tmp_path / "other").mkdir()
    authority, stranger = Authority(tmp_path, asks=True), Authority(tmp_path / "other")
    with authority.server() as server:
        assert server.tls is not None
        server.tls.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 says it beside the request, and may go unheard
        with pytest.raises(ConnectionFailed, match=r"refused the client's certificate.*cert=") as caught:
            connect(server.url, verify=authority.pem, cert=stranger.both).chat()
        assert (caught.value.sent, caught.value.retryable, len(caught.value.attempts)) == (False, False, 1)
        assert server.requests == []


def test_a_server_s_word_on_a_certificate_is_told_from_its_other_alerts() -> None:
    for reason, is_known in (
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", True),
        ("TLSV1_ALERT_UNKNOWN_CA", True),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", False),
        ("WRONG_VERSION_NUMBER", False),
    ):
        fault = ssl.SSLError(1, reason)
        fault.reason = reason
        wrapped = OSError("the connection broke")
        wrapped.__cause__ = fault
        assert (tls_fault(wrapped) is fault) == is_known


# What can't be used


def garbled(directory: Path) -> Path:
    path = directory / "garbled.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    return path


def empty(directory: Path) -> Path:
    path = directory / "empty"
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (lambda authority: {"verify": authority.directory / "missing.pem"}, r"verify: .*missing\.pem"),
        (lambda authority: {"verify": str(empty(authority.directory))}, "verify: the directory .*empty.*rehash"),
        (lambda authority: {"verify": garbled(authority.directory)}, r"verify: .*garbled\.pem"),
        (lambda authority: {"verify": authority.key}, r"verify: .*key\.pem"),
        (lambda authority: {"verify": "a\0b"}, "verify: "),
        (lambda _: {"verify": ""}, "verify must be"),
        (lambda _: {"verify": None}, "verify must be"),
        (lambda _: {"verify": 1}, "verify must be"),
        (lambda authority: {"cert": authority.directory / "missing.pem"}, r"cert: .*missing\.pem"),
        (lambda authority: {"cert": authority.cert}, r"cert: .*cert\.pem.*its key"),
        (lambda authority: {"cert": (authority.cert, authority.directory / "missing.pem")}, r"cert: .*missing\.pem"),
        (lambda authority: {"cert": (authority.cert, garbled(authority.directory))}, r"cert: .*garbled\.pem"),
        (lambda authority: {"cert": (authority.cert, locked(authority))}, r"cert: .*locked\.pem.*password"),
        (lambda authority: {"cert": (authority.cert, locked(authority), "secret")}, r"cert: .*locked\.pem.*password"),
        (lambda authority: {"cert": (authority.cert, authority.key, 5)}, r"cert: .*key\.pem"),
        (lambda authority: {"cert": ()}, "cert must be"),
        (lambda authority: {"cert": (authority.cert, None)}, "cert must be"),
        (lambda authority: {"cert": (authority.cert,) * 4}, "cert must be"),
        (lambda _: {"cert": 5}, "cert must be"),
        (lambda authority: {"verify": made_context(), "cert": authority.both}, "cert: .*SSLContext"),
    ],
)
@pytest.mark.parametrize("url", ["https://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"])
def test_a_file_that_can_t_be_used_is_named_when_the_client_is_made(
    options: Callable[[Authority], dict[str, Any]], named: str, url: str, kind: str, authority: Authority
) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        CLASSES[kind](KEY, url, **options(authority))
    assert "secret" not in str(caught.value)


def test_a_missing_file_of_the_environment_is_named_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE: '/nowhere/authority\.pem' can't be read"):
        CLASSES[kind](KEY, "https://127.0.0.1:1/v1")
    CLASSES[kind](KEY, "http://127.0.0.1:1/v1")  # where nobody speaks TLS, nobody reads it


# Addresses, connections and redirects


def test_an_ipv6_literal_is_an_origin_like_any_other(
    byte_server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    byte_server.answers += [*ANSWERS, *ANSWERS]
    port = int(byte_server.url.rpartition(":")[2].removesuffix("/v1"))
    with Proxy(port, host="::1", tunnels=False) as server:
        for exception in ("::1", f"[{server.host}]:{server.address.rpartition(':')[2]}"):
            monkeypatch.setenv("NO_PROXY", exception)
            ask_both_ways(connect(f"http://{server.address}/v1"))
        assert f"\r\nhost: {server.address}\r\n" in byte_server.requests[0].head.lower()


@pytest.mark.parametrize("is_tls", [False, True])
def test_an_idle_connection_that_the_server_closed_is_replaced_unseen(
    is_tls: bool, authority: Authority, connect: Connect
) -> None:
    with ByteServer(tls=authority.context() if is_tls else None) as server:
        server.answers += [Sent(answer.pieces, closes=True) for answer in (*ANSWERS, *ANSWERS)]
        caller = connect(server.url, verify=authority.pem)
        for closed in (0, 2):
            ask_both_ways(caller)
            server.wait_until_closed(closed + 2)
        assert len(server.requests) == 4
        assert len(caller.chat().attempts) == 1


def test_a_connection_that_breaks_once_the_request_is_written_is_an_attempt(
    byte_server: ByteServer, connect: Connect
) -> None:
    caller = connect(byte_server.url)
    byte_server.answers += [ANSWERS[0], Sent([]), ANSWERS[0]]
    caller.chat()
    reply = caller.chat()
    assert [(attempt.error, attempt.sent) for attempt in reply.attempts] == [("ConnectionFailed", None), (None, True)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_neither_its_target_nor_a_proxy_hears_of_it(
    status: int, byte_server: ByteServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ByteServer(list(ANSWERS)) as target, Proxy() as proxy:
        location = target.url.replace("//", "//user:password@") + "/else?token=abc#part"
        byte_server.answer(head(f"Location: {location}", "Content-Length: 0", status=f"{status} Go"), closes=False)
        for scheme in ("HTTP", "HTTPS", "ALL"):
            monkeypatch.setenv(f"{scheme}_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", byte_server.url.split("/")[2])
        caller = connect(byte_server.url)
        for ask in (caller.chat, lambda: list(caller.stream())):
            with pytest.raises(ApiError, match=rf"{status}, a redirect to {target.url}/else; ") as caught:
                ask()
            assert caught.value.status == status
            assert len(caught.value.attempts) == 1
        assert (target.connections, proxy.heads, len(byte_server.requests)) == (0, [], 2)


def test_a_redirect_s_target_that_holds_no_secrets_is_named_as_it_is(byte_server: ByteServer, connect: Connect) -> None:
    byte_server.answer(head("Location: /a@b//c", "Content-Length: 0", status="301 Moved"))
    with pytest.raises(ApiError, match="redirect to /a@b//c; "):
        connect(byte_server.url, retry=ONCE).chat(model=MODEL)
