"""Commands in hints, spelt so that they work where they are read."""

from __future__ import annotations

import re
from typing import Final

from cli.version import NAME, program

_MENTION: Final = re.compile(rf"(?<![\w/.-]){re.escape(NAME)}(?= [a-z-])")


def as_typed(text: str) -> str:
    """``text`` with every `dastra-webhooks COMMAND` in it spelt as the shell here would find the program.

    Write hints with the plain name; `cli.output` passes what it says through here. Where the program is not on the
    search path, that is the way by which it was started, such as ``.venv/bin/dastra-webhooks``.
    """
    return _MENTION.sub(program().replace("\\", r"\\"), text)
