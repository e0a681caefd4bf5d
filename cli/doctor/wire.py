"""HTTP/1.1 over a socket: httpx sends no malformed request, and has no bound on a whole exchange."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import h11

from cli.doctor.attacks import Sent
from cli.sending import is_loopback
from cli.version import version
from core.bound import HardBound, HardTimeoutError

_MOST_READ: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_CONTINUE_SECONDS: Final = 1.0
"""How long to wait for a word before a body that was announced (RFC 9110, 10.1.1, wants no endless wait)."""


class Trouble(StrEnum):
    """Why there was no answer."""

    UNKNOWN_NAME = "unknown name"
    REFUSED = "refused"
    TIMEOUT = "no answer in time"
    BROKEN = "connection broken"
    NOT_HTTP = "no HTTP"
    TLS = "TLS failed"


class NoAnswerError(Exception):
    """There was no answer, or not a whole one. The text is the system's own and quotes nothing that was sent."""

    def __init__(self, trouble: Trouble, text: str = "") -> None:
        super().__init__(text or trouble.value)
        self.trouble: Final = trouble


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names in lower case; the body's first 64 KiB; ``seconds`` from the connect to its last byte."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float
    early: bool = False
    """Whether it came before the body was sent."""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for found, value in self.headers if found == name), None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL, taken apart. ``addresses`` are tried in their order."""

    url: str
    tls: bool
    host: str
    port: int
    path: str
    query: str
    addresses: tuple[tuple[socket.AddressFamily, str], ...] = ()
    proxy: tuple[str, int] | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL that ``cli.sending.check_url`` let pass."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
        proxy = None
        found = getproxies().get(parts.scheme)
        if tls and found and not is_loopback(url) and not proxy_bypass(host):
            where = urlsplit(found if "://" in found else f"http://{found}")
            proxy = (where.hostname, where.port or 8080) if where.hostname else None
        return cls(url, tls, host, parts.port or (443 if tls else 80), parts.path or "/", parts.query, (), proxy)

    def resolve(self, seconds: float) -> Self:
        """With the addresses of its name.

        Raises:
            NoAnswerError: it has none.
        """
        look_up = HardBound("dns", 1)
        try:
            found = look_up.run(lambda: socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM), seconds)
        except HardTimeoutError:
            raise NoAnswerError(Trouble.UNKNOWN_NAME, f"no name server answered within {seconds:.0f} s") from None
        except (OSError, UnicodeError) as error:
            raise NoAnswerError(Trouble.UNKNOWN_NAME, words(error)) from error
        pairs = dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found)
        return replace(self, addresses=tuple(pairs))

    def only(self, family: socket.AddressFamily) -> Self:
        """With the addresses of one kind alone."""
        return replace(self, addresses=tuple(pair for pair in self.addresses if pair[0] == family))

    @property
    def host_header(self) -> str:
        """What stands in ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Wire:
    """Sends requests, each on a connection of its own."""

    endpoint: Endpoint
    tls: ssl.SSLContext | None = field(default=None)

    def exchange(self, sent: Sent, seconds: float, *, chunked: bool = False, ask_first: bool = False) -> Reply:
        """Send a request and read its answer, all within ``seconds``.

        ``ask_first`` announces the body and waits for a word before it is sent.

        Raises:
            NoAnswerError: there was none.
        """
        started = time.monotonic()
        with _told(), self.connect(started + seconds) as sock:
            head, body = self._bytes(sent, chunked=chunked, ask_first=ask_first)
            talk = _Talk(sock, started + seconds, sent.method)
            talk.send(head)
            early = talk.listen(_CONTINUE_SECONDS) if ask_first else None
            if early is None:
                with suppress(
                    BrokenPipeError, ConnectionResetError, ssl.SSLEOFError
                ):  # it may have answered before it hung up
                    talk.send(body)
            reply = early or talk.listen()
        if reply is None:
            raise NoAnswerError(Trouble.TIMEOUT)
        return replace(reply, seconds=time.monotonic() - started, early=early is not None)

    @contextmanager
    def connect(self, ends_at: float) -> Iterator[socket.socket]:
        """A connection, through TLS where the endpoint has it; ``ends_at`` in monotonic seconds.

        Raises:
            NoAnswerError, OSError: there is none.
        """
        sock = self._open(ends_at)
        try:
            if self.endpoint.tls:
                context = self.tls or ssl.create_default_context()
                sock.settimeout(_left(ends_at))
                sock = context.wrap_socket(sock, server_hostname=self.endpoint.host)
            yield sock
        finally:
            sock.close()

    def _open(self, ends_at: float) -> socket.socket:
        if self.endpoint.proxy:
            tunnel = http.client.HTTPConnection(*self.endpoint.proxy, timeout=_left(ends_at))
            tunnel.set_tunnel(self.endpoint.host, self.endpoint.port)
            tunnel.connect()
            sock: socket.socket = tunnel.sock
            return sock
        problem: OSError = OSError("it has no address")
        for family, address in self.endpoint.addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(_left(ends_at))
                sock.connect((address, self.endpoint.port))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError as error:
                sock.close()
                problem = error
        raise problem

    def _bytes(self, sent: Sent, *, chunked: bool, ask_first: bool) -> tuple[bytes, bytes]:
        query = "&".join(part for part in (self.endpoint.query, sent.query) if part)
        path = self.endpoint.path if sent.path is None else sent.path
        target = f"{path}?{query}" if query else path
        names = {name.lower() for name, _ in sent.headers}
        headers = [("Host", self.endpoint.host_header), ("Connection", "close")]
        if "user-agent" not in names:
            headers.append(("User-Agent", f"dastra-webhooks/{version()} (doctor)"))
        headers += [*sent.headers, *((("Expect", "100-continue"),) if ask_first else ())]
        if not names & {"content-length", "transfer-encoding"}:
            headers.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(sent.body))))
        lines = [f"{sent.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode(), b"".join(_chunks(sent.body)) if chunked else sent.body


class _Talk:
    """One request's connection. Every wait ends when the whole is over: a time-out alone bounds a wait, not a drip."""

    def __init__(self, sock: socket.socket, ends_at: float, method: str) -> None:
        self._sock: Final = sock
        self._ends_at: Final = ends_at
        # Only to read by: h11 refuses to write most of what is sent here.
        self._parser: Final = h11.Connection(h11.CLIENT)
        shown = "HEAD" if method == "HEAD" else "POST"
        self._parser.send(h11.Request(method=shown, target="/", headers=[("Host", "-"), ("Content-Length", "0")]))
        self._parser.send(h11.EndOfMessage())

    def send(self, data: bytes) -> None:
        """Send all of it."""
        for start in range(0, len(data), _PIECE):
            self._sock.settimeout(_left(self._ends_at))
            self._sock.sendall(data[start : start + _PIECE])

    def listen(self, seconds: float | None = None) -> Reply | None:
        """The answer; None where ``seconds`` are over before it begins, or an interim one asks for the body."""
        response: h11.Response | None = None
        body = bytearray()
        while len(body) < _MOST_READ:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._sock.settimeout(
                        _left(self._ends_at) if response else min(seconds or 60, _left(self._ends_at))
                    )
                    self._parser.receive_data(self._sock.recv(_PIECE))
                except TimeoutError:
                    if seconds is not None and response is None:
                        return None
                    raise
            elif isinstance(event, h11.InformationalResponse) and seconds is not None:
                return None
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)) or event is h11.PAUSED:
                break
        if response is None:
            raise NoAnswerError(Trouble.BROKEN, "closed without an answer")
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
        return Reply(response.status_code, headers, bytes(body), 0.0)


def _chunks(body: bytes) -> Iterator[bytes]:
    """The body as it goes without a length, in a few pieces."""
    size = max(1, min(_PIECE, len(body) // 3))
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def words(error: BaseException) -> str:
    """The system's or OpenSSL's own words; neither quotes what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower().rstrip(".")


@contextmanager
def _told() -> Iterator[None]:
    """Turn every way in which an exchange can fail into NoAnswerError."""
    try:
        yield
    except TimeoutError as error:
        raise NoAnswerError(Trouble.TIMEOUT) from error
    except ssl.SSLError as error:
        raise NoAnswerError(Trouble.TLS, words(error)) from error
    except ConnectionRefusedError as error:
        raise NoAnswerError(Trouble.REFUSED, words(error)) from error
    except OSError as error:
        raise NoAnswerError(Trouble.BROKEN, words(error)) from error
    except h11.RemoteProtocolError as error:
        raise NoAnswerError(Trouble.NOT_HTTP, "what it sends is no HTTP, or cut off") from error
