"""Knows how a process keeps what it holds from the others of its user."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Let no other process of this user read this one's memory or environment, and no core file.

    What a process executes is not covered: the kernel makes a new program readable again; what it
    forks is. Only Linux knows the first; elsewhere the second is all there is.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
