"""Where STATEs go: to standard output, whose reader may be gone."""

from __future__ import annotations

import os
import sys

from target_deals_postgres.errors import StateUnreadError


def emit(state: bytes) -> None:
    """Write a STATE whose rows are committed.

    Args:
        state: its value, as it came.

    Raises:
        StateUnreadError: nobody can read it.
    """
    if sys.stdout is None:
        raise StateUnreadError("standard output is closed: the STATEs of the target are not read")
    try:
        sys.stdout.write(state.decode("utf-8", "replace") + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and say so in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        why = "nobody reads the STATEs of the target any more"
        if not isinstance(error, BrokenPipeError):
            why = f"the STATEs of the target cannot be written ({error.strerror})"
        raise StateUnreadError(f"{why}; all data before it is committed") from None
