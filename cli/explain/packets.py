"""TCP streams out of `tcpdump -X` or `-x` text: enough to read one request that was sent in clear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_LINE: Final = re.compile(rb"^[ \t]*0x([0-9a-f]{4}):[ \t]+((?:(?:[0-9a-f]{4}|[0-9a-f]{2})(?: |$)){1,8})", re.MULTILINE)
_IPV4, _IPV6, _TCP = 4, 6, 6
_ETHERNET: Final = 14
_LARGEST: Final = 64 * 1024 * 1024

Flow = tuple[bytes, bytes]


def streams(data: bytes) -> list[bytes]:
    """What each side of each connection sent, its segments in order, repeated ones once."""
    segments: dict[Flow, dict[int, bytes]] = {}
    for packet in _packets(data):
        for flow, sequence, payload in _segment(packet):
            segments.setdefault(flow, {}).setdefault(sequence, payload)
    return [_joined(found) for found in segments.values()]


def _packets(data: bytes) -> Iterator[bytes]:
    packet = bytearray()
    for match in _LINE.finditer(data):
        if int(match[1], 16) == 0 and packet:
            yield bytes(packet)
            packet.clear()
        packet += bytes.fromhex(match[2].replace(b" ", b"").decode("ascii"))
    yield bytes(packet)


def _segment(packet: bytes) -> Iterator[tuple[Flow, int, bytes]]:
    """The TCP payload of a packet, if it has one; with or without its link header."""
    if packet[12:14] in (b"\x08\x00", b"\x86\xdd") and packet[14:15] and packet[14] >> 4 in (_IPV4, _IPV6):
        packet = packet[_ETHERNET:]
    if len(packet) < 40:
        return
    match packet[0] >> 4:
        case 4:
            start, protocol = (packet[0] & 15) * 4, packet[9]
            addresses, end = packet[12:20], int.from_bytes(packet[2:4])
        case 6:
            start, protocol = 40, packet[6]
            addresses, end = packet[8:40], 40 + int.from_bytes(packet[4:6])
        case _:
            return
    tcp = packet[start : end or None]
    if protocol != _TCP or len(tcp) < 20:
        return
    payload = tcp[(tcp[12] >> 4) * 4 :]
    if payload:
        yield (addresses, tcp[:4]), int.from_bytes(tcp[4:8]), payload


def _joined(segments: dict[int, bytes]) -> bytes:
    """The bytes in the order of their numbers; a gap ends them, what comes twice counts once."""
    # Numbers wrap round at 32 bits: the first one seen is where counting begins.
    first = next(iter(segments))
    placed = sorted(((sequence - first + 2**31) % 2**32 - 2**31, payload) for sequence, payload in segments.items())
    joined, at = bytearray(), placed[0][0]
    for place, payload in placed:
        if place > at or len(joined) > _LARGEST:
            break
        joined += payload[at - place :]
        at = max(at, place + len(payload))
    return bytes(joined)
