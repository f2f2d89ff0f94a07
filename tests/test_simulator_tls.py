"""The simulator's certificate: who trusts it, for which names, and what is said without trustme."""

import asyncio
import ssl
import stat
import subprocess
import sys

import pytest

from barechat.simulator.tls import Certificate, make_certificate


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return make_certificate("simulator.example")


async def greet(certificate: Certificate, name: str, context: ssl.SSLContext) -> bytes:
    """Return what a server with this certificate says to a client that calls it by this name."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.context) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "simulator.example"])
def test_a_client_that_trusts_the_authority_trusts_the_server_by_each_of_its_names(
    certificate: Certificate, name: str
) -> None:
    with certificate.authority_file() as path:
        context = ssl.create_default_context(cafile=path)
    assert asyncio.run(greet(certificate, name, context)) == b"hello"


def test_a_client_that_knows_another_name_or_another_authority_does_not(certificate: Certificate) -> None:
    trusting = ssl.create_default_context(cadata=certificate.authority_pem)
    stranger = ssl.create_default_context(cadata=make_certificate("localhost").authority_pem)
    for name, context in (("other.example", trusting), ("localhost", stranger)):
        with pytest.raises(ssl.SSLCertVerificationError):
            asyncio.run(greet(certificate, name, context))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::"])  # noqa: S104 - only named, not bound
def test_every_host_that_can_be_served_gets_a_certificate(host: str) -> None:
    make_certificate(host)


def test_the_authority_s_file_is_its_owner_s_alone_and_goes_away(certificate: Certificate) -> None:
    with certificate.authority_file() as path:
        assert path.read_text("ascii") == certificate.authority_pem
        assert certificate.authority_pem.startswith("-----BEGIN CERTIFICATE-----\n")
        assert "PRIVATE" not in certificate.authority_pem
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def run(code: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_without_trustme_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['trustme'] = None\n"
        "from barechat.simulator.tls import make_certificate\n"
        "try: make_certificate('localhost')\n"
        "except ImportError as error: print(error)"
    )
    assert run(code) == "TLS needs trustme: pip install 'barechat[tls]'"


def test_a_simulator_without_its_server_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "try: import barechat.simulator\n"
        "except ImportError as error: print(error)"
    )
    assert run(code) == "the simulator needs aiohttp: pip install 'barechat[simulator]'"


def test_trustme_is_loaded_only_for_a_certificate() -> None:
    code = "import sys, barechat.simulator.tls; print('trustme' in sys.modules)"
    assert run(code) == "False"
