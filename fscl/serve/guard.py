"""Who may ask: this page alone, under the names of this machine; and what a browser is told of each response."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")
OWN_SITES = {"same-origin", "none"}  # none: typed by the user; same-site would be another port
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/@\s]+))(?::\d{1,5})?")
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
TOLD = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",  # no other page shows our pictures
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests under another name of the machine (DNS rebinding), and those of other pages (CSRF).

    Another page may only lead to this one. Of a GET, a browser says whose it is where the address is of this machine
    or is reached by https (Sec-Fetch-Site); of a POST always.

    Args:
        app: what is guarded.
        host: the address that the page is served at; that of all addresses, 0.0.0.0 or ::, lets the page be called
            by any address in numbers, which no other page can take, and by the names of the machine.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._any_address = is_any_address(host)
        own = (socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local") if self._any_address else ()
        self._names = {name.lower() for name in (*LOCAL, host, *own)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        refused = self._refused(scope["method"], scope["path"], Headers(scope=scope))
        answer = self._app if refused is None else PlainTextResponse(refused, status_code=403)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in TOLD.items():
                    headers.setdefault(name, value)
            await send(message)

        await answer(scope, receive, told)

    def _refused(self, method: str, path: str, headers: Headers) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._knows(hosts[0].lower()):
            return "expected the address that fscl serve has printed (Host)"
        if method not in ("GET", "HEAD") and origins not in ([f"http://{hosts[0]}"], [f"https://{hosts[0]}"]):
            return "expected a request of this page itself (Origin)"
        if path != "/" and not set(headers.getlist("sec-fetch-site")) <= OWN_SITES:
            return "expected a request of this page itself (Sec-Fetch-Site)"
        return None

    def _knows(self, host: str) -> bool:
        match = HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1] or match[2]
        return name in self._names or (self._any_address and _is_address(name))


class FullError(Exception):
    """There is no room now: ask again."""


class Room:
    """How many requests, and how many bytes of them, are at work at once. For one event loop.

    >>> room = Room(requests=1, bytes_of_all=100)
    >>> with room.taken(60):
    ...     with room.taken(10):
    ...         pass
    Traceback (most recent call last):
    fscl.serve.guard.FullError
    """

    def __init__(self, requests: int, bytes_of_all: int) -> None:
        self._requests, self._bytes = requests, bytes_of_all

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take the room of a request until the block ends.

        Raises:
            FullError: there is none.
        """
        if self._requests < 1 or self._bytes < size:
            raise FullError
        self._requests -= 1
        self._bytes -= size
        try:
            yield
        finally:
            self._requests += 1
            self._bytes += size


def is_any_address(host: str) -> bool:
    """Tell the address that stands for all of the machine."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def is_local(host: str) -> bool:
    """Tell an address that no other machine reaches."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
