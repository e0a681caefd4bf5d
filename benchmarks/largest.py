"""The largest events there are, and the memory that they took."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.samples import KEY
from core.signature import sign

LARGEST: Final = 4 * 1024 * 1024


def largest_body(number: int) -> bytes:
    """An event of 4 MiB, another one for each number."""
    start = b'{"webhookId": %d, "data": "' % number
    return start + b"x" * (LARGEST - len(start) - 2) + b'"}'


def post_at_once(port: int, workers: int, forwarded: str) -> None:
    """So many of the largest events at once, three times over; ``forwarded`` says whom they come from.

    Raises:
        AssertionError: one was not accepted.
    """
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda number: _post(port, number, forwarded), range(3 * workers)))


def peak_mebibytes(pid: int) -> float:
    """The most memory that a process has had (VmHWM of Linux's /proc)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _post(port: int, number: int, forwarded: str) -> None:
    body = largest_body(number)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body, {"Dastra-Signature": sign(body, KEY), "X-Forwarded-For": forwarded})
    answer = connection.getresponse()
    if answer.read() != b'{"status":"accepted"}':
        raise AssertionError(answer.status)
    connection.close()
