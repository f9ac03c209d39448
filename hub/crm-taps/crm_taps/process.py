"""What a process does before anything of a plugin is imported: signals wait, lines stay whole.

A signal that comes while Python imports would end the process without a word of why.
"""

from __future__ import annotations

import os
import signal
import sys

SIGNALS = {signal.SIGINT, signal.SIGTERM}
"""Those that ask a run to end."""


def is_plugin() -> bool:
    """Whether this process was started as a tap or a mapper, and does not only import one."""
    return os.path.basename(sys.argv[0]).startswith(("tap-", "map-"))  # noqa: PTH119 - early, light


def hold_signals() -> None:
    """Let those that ask to end wait, until `release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Let those that ask to end come, also those that came before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def write_whole_lines() -> None:
    """Let standard output write what it is given to the end, or fail.

    With PYTHONUNBUFFERED a write may end in the middle, at a signal or on a full disk, and nobody
    is told.
    """
    if sys.stdout is not None:  # it was closed before the process began
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
