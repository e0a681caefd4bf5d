"""On which addresses a process listens: nothing here may be reachable from another machine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path


def listeners(group: int) -> set[tuple[IPv4Address | IPv6Address, int]]:
    """Return the TCP addresses on which a process group listens, from Linux's /proc; elsewhere an empty set."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is not ours
            if os.getpgid(int(process.name)) == group:
                sockets |= {str(link.readlink()) for link in (process / "fd").iterdir()}
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                words, _, port = local.partition(":")
                # Each 32-bit word is printed as a number of this machine.
                packed = b"".join(
                    int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)
                )
                found.add((ip_address(packed), int(port, 16)))
    return found
