r"""Half characters in JSON: an emoji cut in two leaves `\ud83d`, which is no text to anybody."""

from __future__ import annotations

import re

# An escape of any kind, so that an escaped backslash before a `u` is no beginning; the group is
# half of a pair that stands alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)


def mended(content: bytes) -> bytes:
    """Return JSON with U+FFFD in the place of every lone surrogate, the rest as it is."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], content)
