"""Whether the endpoint can be reached, and what its TLS is worth."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Final

from cli.doctor.model import Check, Part, Result
from cli.doctor.wire import Endpoint, NoAnswerError, Wire, words
from cli.sending import is_loopback
from cli.target import START
from core.deadline import SENDER_PATIENCE

DNS: Final = Check("dns", Part.NETWORK, "The name resolves")
IPV4: Final = Check("ipv4", Part.NETWORK, "Reachable over IPv4")
IPV6: Final = Check("ipv6", Part.NETWORK, "Reachable over IPv6")
HTTPS: Final = Check("https", Part.NETWORK, "Encrypted")
VERSION: Final = Check("tls-version", Part.TLS, "TLS 1.2 or 1.3")
CHAIN: Final = Check("tls-chain", Part.TLS, "Certificate from a known authority")
HOST: Final = Check("tls-host", Part.TLS, "Certificate is for this host")
EXPIRY: Final = Check("tls-expiry", Part.TLS, "Certificate is in date")

WARN_DAYS: Final = 21
_DNS_SECONDS: Final = 5.0
_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL (x509_vfy.h), for which the ssl module has no name."""
_EXPIRED: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_LET_IN: Final = "Is it deployed, and does a firewall or a private network keep the internet out?"

Steps = Generator[Result, None, Endpoint | None]


def check_network(endpoint: Endpoint, seconds: float = SENDER_PATIENCE) -> Steps:
    """The rows of the network and of TLS; returns the endpoint with addresses that work, None where none does."""
    if endpoint.proxy:
        through = f"through the proxy {endpoint.proxy[0]}:{endpoint.proxy[1]}, which looks the name up"
        yield DNS.skipped(through)
        yield IPV4.skipped(through)
        yield IPV6.skipped(through)
    else:
        try:
            endpoint = endpoint.resolve(_DNS_SECONDS)
        except NoAnswerError as error:
            yield DNS.failed(f"{endpoint.host}: {error}", "Is the URL spelt right, and is the deployment still there?")
            return None
        yield DNS.passed(", ".join(address for _, address in endpoint.addresses))
        reachable = yield from _families(endpoint, seconds)
        if reachable is None:
            return None
        endpoint = reachable
    if endpoint.tls:
        yield HTTPS.passed("https")
        return (yield from _tls(endpoint, seconds))
    if is_loopback(endpoint.url):
        yield HTTPS.skipped("http, which stays on this machine")
    else:
        yield HTTPS.failed(
            "http: whoever is in between reads events, which carry personal data",
            "Give Dastra an https URL. The three platforms' own URLs are; a proxy in front needs a certificate.",
        )
    return endpoint


def _families(endpoint: Endpoint, seconds: float) -> Steps:
    works: list[tuple[socket.AddressFamily, str]] = []
    local = is_loopback(endpoint.url)
    for family, check in ((socket.AF_INET, IPV4), (socket.AF_INET6, IPV6)):
        only = endpoint.only(family)
        if not only.addresses:
            if family is socket.AF_INET and not local:
                yield check.failed("it has no IPv4 address", "Give it one: Dastra's published addresses are all IPv4.")
            else:
                yield check.skipped("it has no such address; Dastra's published addresses are all IPv4")
            continue
        started = time.monotonic()
        try:
            with Wire(replace(only, tls=False)).connect(started + seconds):
                works += only.addresses
                yield check.passed(f"connected in {(time.monotonic() - started) * 1000:.0f} ms")
        except OSError as error:
            if error.errno in _NO_ROUTE and family is socket.AF_INET6:
                yield check.skipped("this machine has no IPv6")
            elif local and works:
                yield check.skipped("nothing listens there, which does on this machine")
            else:
                yield check.failed(_no_connection(error, seconds), START if local else _LET_IN)
    return replace(endpoint, addresses=tuple(works)) if works else None


def _no_connection(error: OSError, seconds: float) -> str:
    return f"no connection within {seconds:.0f} s" if isinstance(error, TimeoutError) else words(error)


@dataclass(frozen=True, slots=True)
class _Handshake:
    """One handshake with its own idea of what must hold."""

    endpoint: Endpoint
    seconds: float

    def __call__(self, change: Callable[[ssl.SSLContext], None], look: Callable[[ssl.SSLSocket], Any]) -> Any:
        context = ssl.create_default_context()
        change(context)
        with Wire(self.endpoint, context).connect(time.monotonic() + self.seconds) as sock:
            assert isinstance(sock, ssl.SSLSocket)  # noqa: S101 - for the type checker
            return look(sock)


def _tls(endpoint: Endpoint, seconds: float) -> Steps:
    shake = _Handshake(endpoint, seconds)
    try:
        yield VERSION.passed(shake(_trust_all, lambda sock: f"{sock.version()}, {(sock.cipher() or ('?',))[0]}"))
    except OSError as error:
        yield VERSION.failed(
            f"no handshake: {_no_connection(error, seconds)}", "Serve TLS 1.2 or 1.3 on this port, and only these."
        )
        for check in (CHAIN, HOST, EXPIRY):
            yield check.skipped("there is no handshake")
        return None
    try:
        certificate: dict[str, Any] = shake(_any_time_and_host, ssl.SSLSocket.getpeercert)
    except OSError as error:
        yield CHAIN.failed(
            words(error),
            "Install a certificate from a public authority, with its intermediates. (Behind a company's proxy: does "
            "SSL_CERT_FILE name its authority?)",
        )
        for check in (HOST, EXPIRY):
            yield check.skipped("the certificate is not to be trusted")
        return None
    yield CHAIN.passed(f"issued by {_name(certificate.get('issuer', ()))}")
    good = True
    try:
        shake(_any_time, lambda _: None)
    except OSError:
        good = False
        names = ", ".join(value for _, value in certificate.get("subjectAltName", ())) or "no host"
        yield HOST.failed(f"it is for {names}, not for {endpoint.host}", "Install one for the host that Dastra calls.")
    else:
        yield HOST.passed(endpoint.host)
    good = (yield from _expiry(shake, certificate)) and good
    return endpoint if good else None


def _expiry(shake: _Handshake, certificate: dict[str, Any]) -> Generator[Result, None, bool]:
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
    renew = "Renew it. A platform's own URL renews by itself; a certificate of yours needs a schedule and an alarm."
    if days < 0:
        yield EXPIRY.failed(f"it expired {-days:.0f} days ago", renew)
        return False
    try:
        shake(_any_host, lambda _: None)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code not in _EXPIRED:
            raise
        yield EXPIRY.failed(f"it, or one above it, is out of date: {words(error)}", renew)
        return False
    if days < WARN_DAYS:
        yield EXPIRY.warned(f"it expires in {days:.0f} days", renew)
    else:
        yield EXPIRY.passed(f"for {days:.0f} days")
    return True


def _trust_all(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def _any_host(context: ssl.SSLContext) -> None:
    context.check_hostname = False


def _any_time(context: ssl.SSLContext) -> None:
    context.verify_flags |= _NO_CHECK_TIME


def _any_time_and_host(context: ssl.SSLContext) -> None:
    _any_host(context)
    _any_time(context)


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    pairs = dict(pair for part in parts for pair in part)
    return pairs.get("organizationName") or pairs.get("commonName") or "an authority without a name"
