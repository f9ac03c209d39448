"""What ends a run: a sentence for the person who has to act, and a code for programs.

TargetError
├── SettingsError          a setting makes no sense
├── InputError             the tap sent something that is no Singer message
│   └── SchemaMissingError a record came before its stream's SCHEMA
├── StreamMapError         a stream map cannot be used
├── RejectedRecordsError   more records were refused than `max_rejected_records` allows
├── OutcomeUnknownError    HubSpot did not say whether records without a key were made
├── UnansweredError        HubSpot passed over records; they may be sent again
├── FileError              a file of the target's own cannot be written
├── StateUnreadError       STATEs cannot be written
├── InterruptedRunError    a signal ended the run
└── UnexpectedError        a fault of the target
"""

from __future__ import annotations

from typing import ClassVar


class TargetError(Exception):
    """Ends the run with its message, without a traceback.

    Attributes:
        code: what programs know it by; docs/codes.md lists all.
        retryable: whether the same run may succeed later, with nothing changed.
        exit_code: the process's.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    exit_code: int = 1


class SettingsError(TargetError):
    """A setting is missing, makes no sense, or does not fit the account; the message names it."""

    code = "settings_invalid"


class InputError(TargetError):
    """A line of the input is no Singer message, or one that makes no sense where it stands."""

    code = "input_invalid"


class SchemaMissingError(InputError):
    """A message names a stream whose SCHEMA has not been sent."""

    code = "schema_missing"


class StreamMapError(TargetError):
    """A stream map cannot be read, or fails."""

    code = "stream_map_failed"


class RejectedRecordsError(TargetError):
    """More records were rejected than `max_rejected_records` allows; all others are written."""

    code = "records_rejected"


class OutcomeUnknownError(TargetError):
    """HubSpot did not say whether records without a key were made; again might double them."""

    code = "outcome_unknown"


class UnansweredError(TargetError):
    """HubSpot passed over records without a word; sending them again does no harm."""

    code = "hubspot_inconsistent"
    retryable = True


class FileError(TargetError):
    """A file of the target's own cannot be written."""

    code = "file_unwritable"


class StateUnreadError(TargetError):
    """STATEs cannot be written: who read them is gone, or a disk is full; records are written."""

    code = "state_unread"
    retryable = True


class InterruptedRunError(TargetError):
    """A signal ended the run after a last batch."""

    code = "interrupted"
    retryable = True

    def __init__(self, sentence: str, number: int) -> None:
        """Remember which signal, for the exit code."""
        super().__init__(sentence)
        self.exit_code = 128 + number


class UnexpectedError(TargetError):
    """A fault of the target; the log at level DEBUG has the traceback."""

    code = "unexpected"
