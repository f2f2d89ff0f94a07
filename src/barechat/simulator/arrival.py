"""What comes with a request? Its path, key, headers and bytes, as plain text, and the record that it opens."""

from aiohttp import web

from barechat.simulator.journal import Record, mask_headers, mask_key
from barechat.simulator.request import find_key


def open_record(http: web.BaseRequest, arrived: float) -> Record:
    """Return the record of a request of which nothing but the head is known."""
    peer = http.transport.get_extra_info("peername") if http.transport is not None else None
    return Record(
        arrived=arrived,
        seconds=0.0,
        method=http.method,
        path=plain(http.raw_path),
        model=None,
        stream=False,
        attempt=0,
        client_request_id=header_of(http, "X-Client-Request-Id"),
        key=mask_key(key_of(http)),
        headers=mask_headers((plain(name), plain(value)) for name, value in http.headers.items()),
        decision="incomplete request",
        status=None,
        finish_reason=None,
        chunks=0,
        usage=None,
        hung_up=False,
        peer_port=peer[1] if peer else None,
    )


async def read_body(http: web.BaseRequest) -> bytes:
    """Read a request's body, asking for it where the client waits to be asked; raises web.RequestPayloadError."""
    if http.headers.get("Expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return await http.read()


def path_of(http: web.BaseRequest) -> str:
    """Return the path, still percent-encoded and without its query."""
    return plain(http.raw_path.partition("?")[0])


def query_of(http: web.BaseRequest) -> str:
    """Return the query, still percent-encoded."""
    return plain(http.raw_path.partition("?")[2])


def key_of(http: web.BaseRequest) -> str | None:
    """Return the API key."""
    key = find_key(http.headers.get("Authorization"), http.headers.get("api-key"))
    return None if key is None else plain(key)


def header_of(http: web.BaseRequest, name: str) -> str | None:
    """Return a header's value."""
    value = http.headers.get(name)
    return None if value is None else plain(value)


def plain(text: str) -> str:
    """Return text that can be encoded: bytes that were no UTF-8, kept by aiohttp as surrogates, are spelt out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
