"""What a process that reads pages and drops them can do better than Python's defaults.

Records hold no reference cycles, so the collector finds nothing among them: it costs a fifth of the
run, most of it for walking again and again through what was imported, and a fifth of the imports
themselves, whose objects live to the end. And each of the twenty threads that fetch pages would get
a heap of its own, which keeps what the thread's largest page took.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECTS_BETWEEN_COLLECTIONS = 50_000
M_ARENA_MAX = -8
"""The number of this option in glibc's `malloc.h`."""

HEAPS = 2
SIGNALS = {signal.SIGINT, signal.SIGTERM}
"""Those that ask a run to end."""


def is_program(name: str) -> bool:
    """Whether this process was started as a program, and does not only import it.

    Args:
        name: What the program is called.
    """
    return os.path.basename(sys.argv[0]) in {name, "__main__.py"}  # noqa: PTH119 - early and light


def hold_signals() -> None:
    """Let those that ask to end wait, until `release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Let those that ask to end come, also those that came before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def importing() -> Iterator[None]:
    """Import without collections, and leave what was imported out of later ones."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def economize() -> None:
    """Leave what lives to the end out of collections, and let threads share their heaps.

    To be called once all is imported, before the threads begin. Other C libraries than glibc have
    no such heaps, or no such option; nothing is changed there.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)
