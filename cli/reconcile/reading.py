"""The log into the state file, page by page, so that a run that is interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from cli.dastra.logs import MOST_PER_PAGE, Api, LogQuery, pages
from cli.reconcile.state import Progress, State, Window

OnPage = Callable[[datetime | None, int], None]
"""Is told how far the log is read, and how many entries are new."""


def query_of(window: Window) -> LogQuery:
    """What to ask of the log for a window."""
    return LogQuery(window.since, window.until, window.channels, window.workspace_id)


def read_log(
    api: Api, state: State, progress: Progress, on_page: OnPage = lambda _date, _count: None, size: int = MOST_PER_PAGE
) -> Progress:
    """Read what is left of the window.

    Raises:
        DastraError: the client's. What was read until then is kept, and a later call goes on from there.
    """
    if progress.resume_at is None:
        return progress
    for page in pages(api, replace(query_of(progress.window), since=progress.resume_at), size):
        progress = replace(
            progress,
            resume_at=max(page.resume_at, progress.window.since),
            others=progress.others + page.others,
            unreadable=progress.unreadable + page.unreadable,
        )
        on_page(page.reached, state.add(page.entries, progress))
    progress = replace(progress, resume_at=None)
    state.save(progress)
    return progress
