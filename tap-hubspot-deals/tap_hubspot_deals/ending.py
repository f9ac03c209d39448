"""How a run ends: for people a sentence, for programs a code, for the shell a status."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click
from hubspot_client.errors import HubSpotError
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminated(BaseException):
    """A signal ended the run; the state is written."""

    code = "interrupted"
    retryable = True

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class SettingsError(ConfigValidationError):
    """A setting or the catalog cannot be carried out; the message names it."""

    code = "settings_invalid"
    retryable = False


class StateError(ConfigValidationError):
    """The state holds something that no run wrote."""

    code = "state_invalid"
    retryable = False


class TargetGoneError(Exception):
    """Nobody reads the tap's messages any more."""

    code = "target_gone"
    retryable = True


class StreamMapError(Exception):
    """A stream map cannot be read, or fails."""

    code = "stream_map_failed"
    retryable = False


class NotComparedError(Exception):
    """`compare_everything` is set, and something could not be compared; what was read is out."""

    code = "not_compared"
    retryable = False


class UnexpectedError(Exception):
    """A fault of the tap; the log at level DEBUG has the traceback."""

    code = "unexpected"
    retryable = False


@dataclass(frozen=True)
class Ending:
    """One way to end.

    Args:
        sentence: For people.
        code: For programs; `docs/codes.md` lists all.
        retryable: Whether the same run may do better later.
        status: What the process exits with.
    """

    sentence: str
    code: str
    retryable: bool
    status: int = 1


def ending_of(exc: BaseException) -> Ending:
    """How a run ends that an exception ended."""
    if isinstance(exc, Terminated):
        sentence = f"Ended by signal {exc.signum}; the state is written."
        return Ending(sentence, exc.code, exc.retryable, 128 + exc.signum)
    if isinstance(exc, HubSpotError | NotComparedError):
        return Ending(str(exc), exc.code, exc.retryable)
    if isinstance(exc, ConfigValidationError):
        kind = exc if isinstance(exc, StateError) else SettingsError
        return Ending(" ".join(exc.errors) or str(exc), kind.code, kind.retryable)
    if isinstance(exc, BrokenPipeError):
        return _as("The target ended before the tap.", TargetGoneError)
    if isinstance(exc, (MapExpressionError, StreamMapConfigError)):
        return _as(f"`stream_maps` cannot be carried out: {exc}", StreamMapError)
    place = traceback.extract_tb(exc.__traceback__)[-1:]
    where = f" in {place[0].name} ({os.path.basename(place[0].filename)}:{place[0].lineno})"  # noqa: PTH119
    sentence = (
        f"{type(exc).__name__}{where if place else ''}: a fault of the tap, not of the settings. "
        "The state is good; LOGLEVEL=DEBUG shows more."
    )
    return _as(sentence, UnexpectedError)


def _as(sentence: str, kind: type[TargetGoneError | StreamMapError | UnexpectedError]) -> Ending:
    return Ending(sentence, kind.code, kind.retryable)


@contextlib.contextmanager
def told(logger: logging.Logger) -> Iterator[None]:
    """Let whatever ends a run end it with one sentence, its code, and the status it deserves.

    Values stay out of the log: of an unexpected exception only its type and place are told.
    """
    try:
        yield
    except (SystemExit, GeneratorExit, click.exceptions.Exit, click.ClickException):
        raise
    except BaseException as exc:
        ending = ending_of(exc)
        logger.debug("Ended by:", exc_info=exc)
        extra = {"code": ending.code, "retryable": ending.retryable}
        logger.error("%s", ending.sentence, extra=extra)  # noqa: TRY400
        _leave(ending.status)


def _leave(status: int) -> NoReturn:
    """End now, without waiting for requests that are still under way."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
