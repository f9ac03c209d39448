"""What PostgreSQL's errors mean: what passes by itself, and a sentence without a secret."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import unquote

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import parse_dsn

REPEAT = {
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.LOCK_NOT_AVAILABLE,
}
STARTING = "starting up"
PASSING = ("08", "57P", "53300")  # SQLSTATEs begin like this
PASSING_WORDS = (STARTING, "shutting down", "recovery", "too many clients", "connection slots")


def sentence_of(error: psycopg2.Error, url: str | None) -> str:
    """What an error says, for people.

    Args:
        error: the error.
        url: that of the connection, whose password is left out.
    """
    diagnosis = error.diag.message_primary
    code = f" (SQLSTATE {error.pgcode})" if error.pgcode else ""
    # Without a diagnosis libpq adds the context, which may be a row of COPY.
    text = diagnosis or str(error).partition("CONTEXT:")[0]
    return redacted(" ".join(text.split()) + code, url)


def is_passing(error: psycopg2.Error) -> bool:
    """Whether trying again may help."""
    # Before a session there is no SQLSTATE: a server that answers says FATAL, and why.
    if error.pgcode is None:
        text = str(error)
        return "FATAL" not in text or any(words in text for words in PASSING_WORDS)
    return error.pgcode in REPEAT or error.pgcode.startswith(PASSING)


def redacted(message: str, url: str | None) -> str:
    """A message without the password of a URL, and without the parts of it that libpq quotes.

    Of a wrongly written URL it takes these for a host or a port.
    """
    url = url or ""
    secrets = re.split(r"[@/:?#&\s]", url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    secrets += re.findall(r"password\s*=\s*'?([^\s'&]+)", url)
    with contextlib.suppress(psycopg2.ProgrammingError):
        secrets.append(parse_dsn(url).get("password", ""))
    for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        if secret:
            message = message.replace(secret, "***")
    return message
