"""COPY's lines: what stands between the texts of a row, what NULL is, and what needs an escape.

COPY's usual signs, a tab and a backslash with N, occur in what people write. Ours are control
characters, which JSON only has as escapes: one look at a record's bytes tells that it has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SEPARATOR = "\x01"
NULL = "\x02"
OPTIONS = r"(DELIMITER E'\x01', NULL E'\x02')"
"""What tells COPY so."""
BETWEEN = SEPARATOR.encode()

_ESCAPED = (  # in this order
    ("\\", "\\\\"),
    ("\n", "\\n"),
    ("\r", "\\r"),
    (SEPARATOR, "\\001"),
    (NULL, "\\002"),
)
_IN_LINES = tuple((one.encode(), escaped.encode()) for one, escaped in _ESCAPED[:3])
_ESCAPES = re.compile(r"\\(00[12]|.)")
_MEANT = {"\\": "\\", "n": "\n", "r": "\r", "001": SEPARATOR, "002": NULL}


def joined(texts: Sequence[str]) -> bytes:
    """The line of some texts, each escaped where it needs that."""
    return SEPARATOR.join(texts).encode()


def escaped(texts: Sequence[str]) -> bytes:
    """The line of texts that are not escaped yet, and have neither of our signs.

    It is shorter to look through them all at once, as bytes, than through each.
    """
    line = SEPARATOR.join(texts).encode()
    for one, instead in _IN_LINES:
        if one in line:
            line = line.replace(one, instead)
    return line


def texts_of(line: bytes) -> list[str]:
    """The texts of a line as they stand there, with their escapes."""
    return line.decode().split(SEPARATOR)


def escape(text: str) -> str:
    """Escape a text for a line."""
    for one, instead in _ESCAPED:
        if one in text:
            text = text.replace(one, instead)
    return text


def unescape(text: str) -> str | None:
    """Undo `escape`; None for NULL."""
    if text == NULL:
        return None
    return _ESCAPES.sub(lambda found: _MEANT[found[1]], text) if "\\" in text else text
