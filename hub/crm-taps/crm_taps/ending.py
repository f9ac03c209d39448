"""How a plugin ends when it does not end well: told once, in a sentence with a code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click
import requests
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError

from crm_taps.errors import (
    InterruptedRunError,
    SettingsError,
    SourceError,
    StreamMapError,
    TargetGoneError,
    UnavailableError,
    UnexpectedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminated(BaseException):
    """A signal asked a tap to end; raised in the main thread, between two messages."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextlib.contextmanager
def speaking(logger: logging.Logger, source: str) -> Iterator[None]:
    """Tell an end that is not good, and give it the exit code that it deserves.

    Args:
        logger: Gets one record of level ERROR, with `code` and `retryable`.
        source: The source's name for people.
    """
    try:
        yield
    except click.exceptions.Exit:
        raise
    except Terminated as end:
        sentence = f"Signal {end.signum} ended the run; the state is written."
        _end(logger, InterruptedRunError(sentence), status=128 + end.signum)
    except Exception as end:  # noqa: BLE001 - each way to end is told
        told = _told(end, source)
        _end(logger, told, cause=end if isinstance(told, UnexpectedError) else None)


def _told(end: Exception, source: str) -> SourceError:
    if isinstance(end, SourceError):
        return end
    if isinstance(end, ConfigValidationError):
        return SettingsError(" ".join(end.errors))
    if isinstance(end, MapExpressionError | StreamMapConfigError):
        return StreamMapError(f"The stream maps do not work: {end}")
    if isinstance(end, BrokenPipeError):
        return TargetGoneError("The target ended before the tap.")
    if isinstance(end, requests.RequestException):
        kind = type(end).__name__
        return UnavailableError(f"{source} cannot be reached, or does not answer ({kind}).")
    return UnexpectedError(f"{type(end).__name__}: a fault of the tap")


def _end(
    logger: logging.Logger, told: SourceError, *, status: int = 1, cause: Exception | None = None
) -> NoReturn:
    logger.error("%s", told, exc_info=cause, extra={"code": told.code, "retryable": told.retryable})
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
