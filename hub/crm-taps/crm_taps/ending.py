"""How a plugin ends when it does not end well: told once, in a sentence with a code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click
import requests
from singer_sdk.exceptions import ConfigValidationError, StreamMapConfigError

from crm_taps.errors import (
    InterruptedRunError,
    SettingsError,
    SourceError,
    StateError,
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
        cause = end if isinstance(told, UnexpectedError) else None
        status = end.exit_code if isinstance(end, click.ClickException) else 1
        _end(logger, told, status=status, cause=cause)


def _told(end: Exception, source: str) -> SourceError:
    if isinstance(end, SourceError):
        return end
    if isinstance(end, ConfigValidationError):
        return SettingsError(" ".join(end.errors) or str(end))
    if isinstance(end, click.ClickException):
        return _of_command_line(end)
    if isinstance(end, StreamMapConfigError):
        return StreamMapError(f"`stream_maps` cannot be carried out: {end}")
    return _unforeseen(end, source)


def _unforeseen(end: Exception, source: str) -> SourceError:
    if isinstance(end, BrokenPipeError):
        return TargetGoneError("The target ended before the tap.")
    if isinstance(end, requests.RequestException):
        kind = type(end).__name__
        return UnavailableError(f"{source} cannot be reached, or does not answer ({kind}).")
    return UnexpectedError(f"{type(end).__name__}: a fault of the tap")


def _of_command_line(end: click.ClickException) -> SourceError:
    of_state = isinstance(end, click.BadParameter) and end.param and end.param.name == "state"
    kind = StateError if of_state else SettingsError
    return kind(f"{end.format_message().rstrip('.')}. --help lists the options.")


def _end(
    logger: logging.Logger, told: SourceError, *, status: int = 1, cause: Exception | None = None
) -> NoReturn:
    logger.error("%s", told, exc_info=cause, extra={"code": told.code, "retryable": told.retryable})
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)


def leave_log() -> None:
    """Leave a log that cannot be written; that its disk is full fails no run."""
    if sys.stderr is None:  # it was closed before the process began
        return
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
