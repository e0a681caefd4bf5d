"""The memory that an instance keeps: its heaps, counted by the C library itself, and what large requests leave."""

from __future__ import annotations

import platform

import pytest

from azure_function.allocator import HEAPS, settle
from tests.unit.test_collector import ENTRY_POINTS, run

COUNT = """
import ctypes, os, re, tempfile, threading
{first}
everybody = threading.Barrier(16)

def allocate():
    held = [bytearray(20_000) for _ in range(50)]
    everybody.wait(30)

threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
path = tempfile.mkstemp()[1]
file = ctypes.c_void_p(library.fopen(path.encode(), b"w"))
library.malloc_info(0, file)
library.fclose(file)
print(len(re.findall("<heap nr", open(path).read())))
os.unlink(path)
"""
LEFT = """
import os
{first}

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20

del bytearray(8 << 20)[:]
held, small = [], []
before = resident()
for _ in range(60):
    held.append(bytearray(b"x") * (1 << 20))
    small.append(bytearray(2000))
del held
print(resident() - before)
"""
SETTLE = "from azure_function.allocator import settle; settle()"
FUNCTION_APP = "import azure_function.function_app"
gnu = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="counts the heaps of the GNU C library; run it on Linux with that one"
)


def said(program: str, first: str) -> int:
    """The number that a program prints which did something first."""
    return int(run(program.replace("{first}", first), ENTRY_POINTS["azure_function.function_app"]))


@gnu
def test_a_process_with_many_threads_has_few_heaps() -> None:
    """Two, where it would have one for nearly each thread: the difference is what this is for."""
    assert said(COUNT, SETTLE) == HEAPS
    assert said(COUNT, "") > HEAPS


@gnu
def test_large_requests_leave_nothing_behind() -> None:
    """Sixty blocks of a megabyte with small ones between them, freed: less than a tenth stays, where most would."""
    assert said(LEFT, SETTLE) < 6
    assert said(LEFT, "") > 30


@gnu
def test_the_function_app_has_few_heaps() -> None:
    """The threads of its own start come before its requests, and get no more than theirs."""
    assert said(COUNT, FUNCTION_APP) <= HEAPS + 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such call, nothing happens."""
    monkeypatch.setattr("azure_function.allocator.ctypes.CDLL", lambda _: object())
    settle()
