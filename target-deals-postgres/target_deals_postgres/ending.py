"""How a run ends: for people a sentence, for programs a code, for the shell a status."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError

from target_deals_postgres.errors import (
    SettingsError,
    StreamMapError,
    TargetError,
    UnexpectedError,
)

if TYPE_CHECKING:
    import logging


def tell(logger: logging.Logger, error: Exception) -> int:
    """Say how a run ended that an exception ended.

    Args:
        logger: gets one record of level ERROR, with `code` and `retryable`.
        error: what ended it.

    Returns:
        The exit code.
    """
    known = _known(error)
    logger.error(
        "%s",
        known,
        exc_info=error if isinstance(known, UnexpectedError) else None,
        extra={"code": known.code, "retryable": known.retryable},
    )
    return error.exit_code if isinstance(error, click.ClickException) else known.exit_code


def _known(error: Exception) -> TargetError:
    if isinstance(error, TargetError):
        return error
    if isinstance(error, ConfigValidationError):
        return SettingsError("; ".join(error.errors) or str(error))
    if isinstance(error, click.ClickException):
        return SettingsError(f"{error.format_message().rstrip('.')}. --help lists the options.")
    if isinstance(error, MapExpressionError | StreamMapConfigError):
        return StreamMapError(str(error))
    return UnexpectedError(f"{type(error).__name__}: a fault of the target")


def leave_log() -> None:
    """Leave a log that cannot be written; that its disk is full fails no run."""
    if sys.stderr is None:  # it was closed before the process began
        return
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
