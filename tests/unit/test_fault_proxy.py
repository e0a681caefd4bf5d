"""The fault proxy, each mode on a connection that was open before the switch and on a new one."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.local.faults import Fault, FaultProxy

LARGE = bytes(range(256)) * (8 * 4096)  # 8 MiB
PAUSE = 0.3  # seconds without an answer that count as silence


class Upstream(ThreadingHTTPServer):
    """Answers each request with what it was sent, and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        super().__init__(("127.0.0.1", 0), Echo)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that vanish are the point of these tests."""


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def answer(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Start the server that stands behind the proxy."""
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    """Start the proxy, without a fault."""
    with FaultProxy(upstream.server_port, slow_seconds=PAUSE) as running:
        yield running


@pytest.fixture(params=["open", "new"])
def client(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection that has already served a request, and one that connects only when it is used."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PAUSE)
    if request.param == "open":
        assert exchange(connection, b"before") == (200, b"before")
    yield connection
    connection.close()


def exchange(client: http.client.HTTPConnection, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Post a body; return the status and the body of the answer."""
    client.request("POST", "/path?query", body, headers)
    response = client.getresponse()
    return response.status, response.read()


@contextlib.contextmanager
def raw_upstream(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Hand every connection, one after the other, to `serve`, and close it after that."""

    def run() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                if connection.recv(1, socket.MSG_PEEK) == b"!":
                    return
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with socket.create_connection(listener.getsockname()) as end:
                end.sendall(b"!")
            thread.join(5)


def receive(sock: socket.socket, size: int) -> bytes:
    """Receive so many bytes, or fewer if the other side closes."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def test_pass_through_keeps_the_connection(proxy: FaultProxy, upstream: Upstream) -> None:
    """Without a fault, requests and answers pass, one connection serves many, and each is counted."""
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    client.connect()
    opened = client.sock
    assert [exchange(client, body) for body in (b"one", b"", b"three")] == [(200, b"one"), (200, b""), (200, b"three")]
    assert client.sock is opened
    assert [seen[2] for seen in upstream.seen] == [b"one", b"", b"three"]
    assert proxy.requests == 3
    client.close()


def test_pass_through_is_exact_to_the_byte() -> None:
    """Case and order of headers, chunk sizes, chunk extensions and trailers reach the other side as they were sent."""
    request = (
        b"POST /%2F?a=b+c HTTP/1.1\r\nhOsT: x\r\nX-Twice: 1\r\nx-twice:   2  \r\nTransfer-Encoding: chunked\r\n\r\n"
        b"003;note=yes\r\n\xff\r\n\r\n1\r\n0\r\n0\r\nX-Trailer: t\r\n\r\n"
    )
    answer = (
        b"HTTP/1.1 200 Fine\r\nx-ODD: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n0A\r\n0123456789\r\n0\r\nx-end: 1\r\n\r\n"
    )
    got: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        for _ in range(2):
            got.append(receive(connection, len(request)))
            connection.sendall(answer)

    with (
        raw_upstream(serve) as port,
        FaultProxy(port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        for _ in range(2):
            for at in range(0, len(request), 7):
                client.sendall(request[at : at + 7])
            assert receive(client, len(answer)) == answer
        client.sendall(request + request)
        assert receive(client, 2 * len(answer)) == 2 * answer
    assert got == [request] * 4


@pytest.mark.parametrize("chunked", [False, True])
def test_pass_through_of_large_bodies(proxy: FaultProxy, upstream: Upstream, chunked: bool) -> None:
    """8 MiB pass in both directions, with a length and in chunks."""
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    pieces = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000))
    client.request("PUT", "/", pieces if chunked else LARGE, encode_chunked=chunked)
    response = client.getresponse()
    assert response.read() == LARGE
    assert upstream.seen == [("PUT", "/", LARGE)]
    client.close()


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.ERROR_503])
def test_a_client_that_waits_for_100_continue_gets_it(proxy: FaultProxy, fault: Fault) -> None:
    """S3 clients send the head alone and wait: the go-ahead comes from whoever answers, the upstream or the proxy."""
    proxy.mode = fault
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert receive(client, 12) == (b"HTTP/1.1 200" if fault is Fault.NONE else b"HTTP/1.1 503")


def test_an_upstream_that_closes_between_requests_is_no_fault() -> None:
    """A server may close an idle connection: the next request of the client gets a new one."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    with (
        raw_upstream(serve) as port,
        FaultProxy(port) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive(client, len(answer)) == answer
            time.sleep(0.02)


def test_an_upstream_that_is_down_resets_the_client() -> None:
    """With nobody behind it the proxy does not invent an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with FaultProxy(port) as proxy:
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
        with pytest.raises(ConnectionResetError):
            exchange(client, b"")
        client.close()


def test_refused(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """Open connections are closed, connects are refused, and the same port serves again afterwards."""
    was_open = client.sock is not None
    port, before = proxy.port, len(upstream.seen)
    proxy.mode = Fault.REFUSED
    with pytest.raises((ConnectionError, http.client.BadStatusLine) if was_open else ConnectionRefusedError):
        exchange(client, b"lost")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert len(upstream.seen) == before
    proxy.mode = Fault.NONE
    assert proxy.port == port
    client.close()
    assert exchange(client, b"again") == (200, b"again")


def test_refused_ends_requests_under_way(proxy: FaultProxy) -> None:
    """A request that waits for its answer when the server goes away gets none."""
    proxy.slow_seconds = 30
    proxy.mode = Fault.SLOW
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    client.request("POST", "/", b"x")
    while not proxy.requests:
        time.sleep(0.01)
    proxy.mode = Fault.REFUSED
    with pytest.raises(ConnectionResetError):
        client.getresponse()
    client.close()


def test_reset(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The connection is reset, not closed, and nothing is forwarded."""
    before = len(upstream.seen)
    proxy.mode = Fault.RESET
    with pytest.raises(ConnectionResetError):
        exchange(client, b"lost")
    assert len(upstream.seen) == before


def test_silent(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The connect succeeds, nothing is read (a large body fills the buffers and stays), nothing is answered."""
    before = len(upstream.seen), proxy.requests
    proxy.mode = Fault.SILENT
    with pytest.raises(TimeoutError):
        exchange(client, LARGE * 4)
    assert (len(upstream.seen), proxy.requests) == (before[0], before[1] + 1)


def test_hanging(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """A large request is read whole, and no answer comes."""
    before = len(upstream.seen)
    proxy.mode = Fault.HANGING
    if client.sock is not None:
        client.sock.settimeout(5)
    client.timeout = 5
    client.request("PUT", "/", LARGE * 4)
    client.sock.settimeout(PAUSE)
    with pytest.raises(TimeoutError):
        client.getresponse()
    assert len(upstream.seen) == before


def test_dripping(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The answer begins as a good one does, then comes a byte at a time: a time-out for each wait never fires."""
    before = len(upstream.seen)
    proxy.mode = Fault.DRIPPING
    if client.sock is None:
        client.connect()
    client.sock.settimeout(0.9)  # more than one pause, less than two
    client.request("POST", "/", b"lost")
    response = client.getresponse()
    assert response.status == 200
    assert [len(response.read(1)) for _ in range(2)] == [1, 1]
    assert not response.isclosed()
    assert len(upstream.seen) == before


def test_dripping_answers_head_requests_too(proxy: FaultProxy) -> None:
    """An answer to HEAD has no body to drip, so its head never ends."""
    proxy.mode = Fault.DRIPPING
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.9) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = client.recv(1000) + client.recv(1000)  # what comes at once, and the first drop
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in data


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.HANGING, Fault.DRIPPING])
def test_lifting_a_mode_resets_what_it_holds(proxy: FaultProxy, fault: Fault) -> None:
    """When the fault is lifted, held requests end at once and new ones pass."""
    proxy.mode = fault
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as held:
        held.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
        while not proxy.requests:
            time.sleep(0.01)
        proxy.mode = Fault.NONE
        with pytest.raises(ConnectionResetError):
            receive(held, 1 << 20)
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    assert exchange(client, b"next") == (200, b"next")
    client.close()


@pytest.mark.parametrize(
    ("fault", "headers", "status", "words"),
    [
        (Fault.ERROR_500, {"X-Amz-Target": "AmazonSQS.SendMessage"}, 500, b"InternalFailure"),
        (Fault.ERROR_503, {"X-Amz-Target": "AmazonSQS.SendMessage"}, 503, b"ServiceUnavailable"),
        (Fault.THROTTLED, {"X-Amz-Target": "AmazonSQS.SendMessage"}, 400, b"#ThrottlingException"),
        (Fault.THROTTLED, {"X-Amz-Target": "secretsmanager.GetSecretValue"}, 400, b'"ThrottlingException"'),
        (Fault.THROTTLED, {"Content-Type": "application/x-www-form-urlencoded"}, 403, b"<Code>RequestThrottled</Code>"),
        (Fault.THROTTLED, {}, 503, b"<Code>SlowDown</Code>"),
        (Fault.ERROR_500, {}, 500, b"<Code>InternalError</Code>"),
        (Fault.ERROR_503, {}, 503, b"<Code>ServiceUnavailable</Code>"),
    ],
)
def test_error_answers(
    proxy: FaultProxy,
    upstream: Upstream,
    client: http.client.HTTPConnection,
    fault: Fault,
    headers: dict[str, str],
    status: int,
    words: bytes,
) -> None:
    """The status and the service's own error code, nothing forwarded, and the connection stays usable."""
    before = len(upstream.seen)
    proxy.mode = fault
    got, body = exchange(client, b"lost", **headers)
    assert (got, words in body) == (status, True), body
    assert len(upstream.seen) == before
    opened = client.sock
    proxy.mode = Fault.NONE
    assert exchange(client, b"next") == (200, b"next")
    assert client.sock is opened


def test_boto3_reads_the_error_answers(proxy: FaultProxy) -> None:
    """The SDK takes the answers for those of AWS; SQS throttles under both its codes by turns."""
    session = boto3.Session(aws_access_key_id="invented", aws_secret_access_key="invented", region_name="eu-west-1")
    config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
    sqs = session.client("sqs", endpoint_url=proxy.url, config=config)
    s3 = session.client("s3", endpoint_url=proxy.url, config=config)
    secrets = session.client("secretsmanager", endpoint_url=proxy.url, config=config)

    def code(call: Callable[[], object]) -> str:
        with pytest.raises(ClientError) as caught:
            call()
        return f"{caught.value.response['ResponseMetadata']['HTTPStatusCode']} {caught.value.response['Error']['Code']}"

    def send() -> object:
        return sqs.send_message(QueueUrl=f"{proxy.url}/0/queue", MessageBody="invented")

    proxy.mode = Fault.THROTTLED
    assert [code(send), code(send), code(send)] == [
        "400 ThrottlingException",
        "400 RequestThrottled",
        "400 ThrottlingException",
    ]
    assert code(lambda: s3.put_object(Bucket="bucket", Key="key", Body=b"invented")) == "503 SlowDown"
    assert code(lambda: s3.head_object(Bucket="bucket", Key="key")) == "503 503"
    assert code(lambda: secrets.get_secret_value(SecretId="secret")) == "400 ThrottlingException"
    proxy.mode = Fault.ERROR_500
    assert code(send) == "500 InternalFailure"
    assert code(lambda: s3.get_object(Bucket="bucket", Key="key")) == "500 InternalError"
    for opened in (sqs, s3, secrets):
        opened.close()


def test_slow(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The request is forwarded, its answer comes whole, and not before the time is over."""
    before = len(upstream.seen)
    proxy.slow_seconds = 30
    proxy.mode = Fault.SLOW
    with pytest.raises(TimeoutError):
        exchange(client, b"late")
    assert len(upstream.seen) == before + 1
    client.close()
    proxy.slow_seconds = PAUSE
    client.timeout = 15
    started = time.monotonic()
    assert exchange(client, b"late") == (200, b"late")
    assert time.monotonic() - started >= PAUSE


def test_cut(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The upstream did its work, and the client gets a closed connection in place of the answer."""
    proxy.mode = Fault.CUT
    with pytest.raises(http.client.RemoteDisconnected):
        exchange(client, b"done")
    assert upstream.seen[-1][2] == b"done"


def test_cut_half(proxy: FaultProxy, upstream: Upstream, client: http.client.HTTPConnection) -> None:
    """The upstream did its work, and the client gets a good head and half the body."""
    proxy.mode = Fault.CUT_HALF
    with pytest.raises(http.client.IncompleteRead) as caught:
        exchange(client, b"done")
    assert caught.value.partial == b"do"
    assert upstream.seen[-1][2] == b"done"


def test_cut_half_without_a_body(proxy: FaultProxy) -> None:
    """An answer without a body ends within its head."""
    proxy.mode = Fault.CUT_HALF
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        data = receive(client, 10_000)
    assert data.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in data


def test_a_fault_for_so_many_requests(proxy: FaultProxy, upstream: Upstream) -> None:
    """`set(mode, times)` hits the next requests only; one that it holds stays held until the next switch."""
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PAUSE)
    proxy.set(Fault.ERROR_503, times=2)
    assert [exchange(client, b"x")[0] for _ in range(3)] == [503, 503, 200]
    proxy.set(Fault.HANGING, times=1)
    with pytest.raises(TimeoutError):
        exchange(client, b"x")
    client.close()
    assert proxy.mode is Fault.NONE
    assert exchange(client, b"y") == (200, b"y")
    client.close()
    for mode, times in ((Fault.REFUSED, 1), (Fault.SLOW, 0)):
        with pytest.raises(ValueError, match="cannot be set"):
            proxy.set(mode, times)
    assert len(upstream.seen) == 2


def test_one_thread_whatever_happens(upstream: Upstream) -> None:
    """Twenty connections and every mode later there is one thread more than before, and none after the end."""
    before = threading.active_count()
    proxy = FaultProxy(upstream.server_port, slow_seconds=0)
    proxy.mode = Fault.HANGING
    with proxy:
        clients = [socket.create_connection(("127.0.0.1", proxy.port), timeout=5) for _ in range(20)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while proxy.requests < 20:
            time.sleep(0.01)
        # The upstream starts a thread for each connection; none was forwarded.
        assert threading.active_count() == before + 1
        for mode in Fault:
            proxy.mode = mode
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    for client in clients:
        with pytest.raises(ConnectionResetError):
            receive(client, 1)
        client.close()


def test_the_end_frees_the_port(upstream: Upstream) -> None:
    """The port is kept while the proxy lives, refusing or not, and free after `close`, which may be repeated."""
    proxy = FaultProxy(upstream.server_port)
    with pytest.raises(RuntimeError, match="no port before start"):
        _ = proxy.url
    proxy.start()
    port = proxy.port
    assert proxy.url == f"http://127.0.0.1:{port}"
    with pytest.raises(OSError, match="in use"):
        FaultProxy(upstream.server_port, port=port).start()
    with pytest.raises(RuntimeError, match="already started"):
        proxy.start()
    proxy.mode = Fault.REFUSED
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    proxy.close()
    proxy.close()
    with pytest.raises(RuntimeError, match="does not run"):
        proxy.mode = Fault.NONE
    with FaultProxy(upstream.server_port, port=port) as second:
        assert second.port == port
