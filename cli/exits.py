"""Every exit code of the command line, and the error that carries one."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What a script reads. A number, once given out, keeps its meaning."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DEPLOYMENT = 3
    UNREACHABLE = 4
    NOT_FOUND = 5
    NOT_CONFIRMED = 6
    BUSY = 7
    REFUSED = 8
    STATUS_USAGE = 9
    INTERRUPTED = 130


MEANINGS: Final = {
    Exit.DONE: "done",
    Exit.FAILED: "done in part, answered with anything but 200, or a check failed",
    Exit.USAGE: "wrong usage: an option, a value or a setting",
    Exit.NO_DEPLOYMENT: "no deployment is named, or it lacks something",
    Exit.UNREACHABLE: "the deployment or the URL does not answer, or refuses",
    Exit.NOT_FOUND: "there is no such event or address",
    Exit.NOT_CONFIRMED: "nothing was done, for want of a yes",
    Exit.BUSY: "the port is taken, or another redrive is at work",
    Exit.REFUSED: "Dastra does not know the API key, or the key lacks a permission",
    Exit.STATUS_USAGE: "wrong usage of status, whose 1 is errors and 2 a block",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}


class CliError(Exception):
    """Ends a command.

    Args:
        message: what is wrong, in a sentence without secrets and bodies.
        hint: what to do next; lines are kept as they are.
        code: the exit code.
    """

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message: Final = message
        self.hint: Final = hint
        self.code: Final = code
