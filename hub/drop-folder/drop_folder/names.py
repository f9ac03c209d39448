"""How a file is called, for people and programs: also where its name is no UTF-8."""

from __future__ import annotations

import os

LONGEST_ENDING = 50
"""Bytes that our own stamps, hashes and endings add to a name."""


def shown(name: str) -> str:
    """A name as text that can be written anywhere.

    Old servers write names in Windows' letters; Python keeps such bytes as halves of characters,
    which no JSON and no mail can hold.
    """
    raw = os.fsencode(name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def is_too_long(name: str, folder: os.PathLike[str]) -> bool:
    """Whether a folder holds the name, but not what we make of it."""
    return len(os.fsencode(name)) > os.pathconf(folder, "PC_NAME_MAX") - LONGEST_ENDING
