"""What is said at once when a signal asks to stop: what runs may need minutes to come to a place where it can."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

_STDERR = 2


def answer(number: int, what: str) -> None:
    """Say from the handler of a signal what will happen now.

    It writes to the file itself: the handler may have come in the middle of a `print`, which cannot be entered twice.
    """
    line = f"{signal.Signals(number).name}: {what}. A second signal stops at once, without saving.\n"
    with suppress(OSError):  # nobody may be reading any more, and stopping matters more
        before = "\n" if os.isatty(_STDERR) else ""  # below a bar that is being drawn
        os.write(_STDERR, (before + line).encode(errors="replace"))
