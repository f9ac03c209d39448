"""How a run ends: for people a sentence, for programs a code, for the shell a status."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click
from hubspot_client.errors import HubSpotError
from hubspot_client.writing.plan import PlanError
from singer_sdk.exceptions import ConfigValidationError, StreamMapConfigError

from target_hubspot.errors import SettingsError, StreamMapError, TargetError, UnexpectedError

if TYPE_CHECKING:
    import logging


def tell(logger: logging.Logger, error: Exception) -> int:
    """Say how a run ended that an exception ended: no value is told.

    Args:
        logger: Gets one record of level ERROR, with `code` and `retryable`.
        error: What ended it.

    Returns:
        The exit code.
    """
    known = _known(error)
    if isinstance(known, UnexpectedError):
        logger.debug("Ended by:", exc_info=error)
    logger.error("%s", known, extra={"code": known.code, "retryable": known.retryable})
    if isinstance(error, click.ClickException):
        return error.exit_code
    return known.exit_code if isinstance(known, TargetError) else 1


def _known(error: Exception) -> TargetError | HubSpotError:
    if isinstance(error, TargetError | HubSpotError):
        return error
    if isinstance(error, ConfigValidationError):
        return SettingsError("; ".join(error.errors) or str(error))
    if isinstance(error, PlanError):
        return SettingsError(str(error))
    if isinstance(error, click.ClickException):
        return SettingsError(f"{error.format_message().rstrip('.')}. --help lists the options.")
    if isinstance(error, StreamMapConfigError):
        return StreamMapError(f"`stream_maps` cannot be carried out: {error}")
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" in {at.name} ({Path(at.filename).name}:{at.lineno})" for at in place)
    return UnexpectedError(f"{type(error).__name__}{where}: a fault of the target.")


def leave_log() -> None:
    """Leave a log that cannot be written; that its disk is full fails no run."""
    if sys.stderr is None:  # it was closed before the process began
        return
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
