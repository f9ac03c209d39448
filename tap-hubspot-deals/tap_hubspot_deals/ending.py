"""How a run ends: for people a sentence, for programs a code, for the shell a status."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import click
from hubspot_client.errors import HubSpotError
from singer_sdk.exceptions import ConfigValidationError, MapExpressionError, StreamMapConfigError

from tap_hubspot_deals.process import SIGNALS, release_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Terminated(BaseException):
    """A signal ended the run; the state is written."""

    code = "interrupted"
    retryable = True

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.began = False


class SettingsError(ConfigValidationError):
    """A setting or the catalog cannot be carried out; the message names it."""

    code = "settings_invalid"
    retryable = False


class StateError(ConfigValidationError):
    """The state holds something that no run wrote."""

    code = "state_invalid"
    retryable = False


class TargetGoneError(Exception):
    """The tap's messages cannot be written: nobody reads them any more, or a disk is full."""

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
    if isinstance(exc, BrokenPipeError):
        exc = TargetGoneError("The target ended before the tap.")
    if isinstance(exc, MapExpressionError | StreamMapConfigError):
        exc = StreamMapError(f"`stream_maps` cannot be carried out: {exc}")
    if isinstance(exc, Terminated):
        sentence = "; the state is written" if exc.began else " before the run began"
        sentence = f"Ended by signal {exc.signum}{sentence}."
        return Ending(sentence, exc.code, exc.retryable, 128 + exc.signum)
    if isinstance(exc, HubSpotError | NotComparedError | StreamMapError | TargetGoneError):
        return Ending(str(exc), exc.code, exc.retryable)
    if isinstance(exc, ConfigValidationError):
        kind = exc if isinstance(exc, StateError) else SettingsError
        return Ending(" ".join(exc.errors) or str(exc), kind.code, kind.retryable)
    if isinstance(exc, click.ClickException):
        return _of_command_line(exc)
    return _unexpected(exc)


def _of_command_line(exc: click.ClickException) -> Ending:
    of_state = isinstance(exc, click.BadParameter) and exc.param and exc.param.name == "state"
    kind = StateError if of_state else SettingsError
    sentence = f"{exc.format_message().rstrip('.')}. --help lists the options."
    return Ending(sentence, kind.code, kind.retryable, exc.exit_code)


def _unexpected(exc: BaseException) -> Ending:
    place = traceback.extract_tb(exc.__traceback__)[-1:]
    where = f" in {place[0].name} ({os.path.basename(place[0].filename)}:{place[0].lineno})"  # noqa: PTH119
    sentence = (
        f"{type(exc).__name__}{where if place else ''}: a fault of the tap, not of the settings. "
        "The state is good; LOGLEVEL=DEBUG shows more."
    )
    return Ending(sentence, UnexpectedError.code, UnexpectedError.retryable)


@contextlib.contextmanager
def told(logger: logging.Logger) -> Iterator[None]:
    """Let whatever ends a run end it with one sentence, its code, and the status it deserves.

    Values stay out of the log: of an unexpected exception only its type and place are told.
    """
    try:
        yield
    except (SystemExit, GeneratorExit, click.exceptions.Exit):
        raise
    except BaseException as exc:
        ending = ending_of(exc)
        logger.debug("Ended by:", exc_info=exc)
        extra = {"code": ending.code, "retryable": ending.retryable}
        logger.error("%s", ending.sentence, extra=extra)  # noqa: TRY400
        _leave(ending.status)


def signals_told() -> None:
    """From now on a signal ends what is not begun yet; so do those that came before."""

    def end(signum: int, _: FrameType | None) -> NoReturn:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated(signum)

    for each in SIGNALS:
        signal.signal(each, end)
    release_signals()


def leave_log() -> None:
    """Leave a log that cannot be written; that its disk is full fails no run."""
    if sys.stderr is None:  # it was closed before the process began
        return
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _leave(status: int) -> NoReturn:
    """End now, without waiting for requests that are still under way."""
    logging.shutdown()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(status)
