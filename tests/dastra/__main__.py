"""Runs the stand-in by hand: `python -m tests.dastra`. Say `export` with the lines it prints, and use the commands."""

from __future__ import annotations

import argparse
import itertools
import time
from contextlib import suppress

from cli.samples import event_types
from tests.dastra.logs import Log
from tests.dastra.standin import API_KEY, Manner, StandIn


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8099, help="port on 127.0.0.1 (default: 8099)")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds from an event to its delivery (default: 1)")
    parser.add_argument("--every", type=float, default=0.0, help="let an event happen every so many seconds")
    chosen = parser.parse_args()
    with StandIn(Manner(delay=chosen.delay), port=chosen.port) as dastra, suppress(KeyboardInterrupt):
        Log().plug(dastra)
        print(f"export DASTRA_API_URL={dastra.url} DASTRA_API_KEY={API_KEY}", flush=True)  # noqa: T201
        for event_type in itertools.cycle(event_types()):
            if not chosen.every:
                time.sleep(3600)
                continue
            dastra.happen(event_type)
            time.sleep(chosen.every)
            for delivery in dastra.deliveries:
                print(f"webhook {delivery.hook}: {delivery.status}", flush=True)  # noqa: T201
            dastra.deliveries.clear()


if __name__ == "__main__":
    main()
