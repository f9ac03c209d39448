"""What ends a run: a sentence for the person who has to act, and a code for programs.

TargetError
├── SettingsError              a setting makes no sense
├── InputError                 the tap sent something that is no Singer message
│   ├── SchemaMissingError     a record came before its stream's SCHEMA
│   └── InputCutError          the tap did not say that what is to overwrite is complete
├── StreamMapError             a stream map cannot be used
├── DatabaseError
│   ├── DatabaseUnreachableError  no connection, or one that was lost; trying again can help
│   ├── DatabaseRefusedError      the database refuses what is needed
│   └── CommitUnknownError        a connection was lost while rows without a key were committed
├── RejectedRecordsError       more records were refused than `max_rejected_records` allows
│   └── KeyMissingError        and all of them because they lack a key
├── StateUnreadError           the STATEs cannot be written any more
├── InterruptedRunError        a signal ended the run
└── UnexpectedError            a fault of the target
"""

from __future__ import annotations

from typing import ClassVar

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException


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
    """A setting is missing or makes no sense; the message names it."""

    code = "settings_invalid"


class InputError(TargetError):
    """A line of the input is no Singer message, or one that makes no sense where it stands."""

    code = "input_invalid"


class SchemaMissingError(InputError, RecordsWithoutSchemaException):
    """A message names a stream whose SCHEMA has not been sent."""

    code = "schema_missing"


class InputCutError(InputError):
    """The input ended before the tap said that a stream to overwrite is complete."""

    code = "input_cut"
    retryable = True


class StreamMapError(TargetError):
    """A stream map cannot be read, or fails."""

    code = "stream_map_failed"


class DatabaseError(TargetError):
    """The database cannot be reached, or it refuses something that the run needs."""


class DatabaseUnreachableError(DatabaseError):
    """No connection, or one that was lost; a deadlock or a lock that does not end."""

    code = "database_unreachable"
    retryable = True


class DatabaseRefusedError(DatabaseError):
    """The database refuses something that the run needs, and will again."""

    code = "database_refused"


class CommitUnknownError(DatabaseError):
    """It is unknown whether rows without a key are stored; storing them again might double them."""

    code = "commit_unknown"


class RejectedRecordsError(TargetError):
    """More records were rejected than `max_rejected_records` allows; all others are committed."""

    code = "records_rejected"


class KeyMissingError(RejectedRecordsError, MissingKeyPropertiesError):
    """The rejected records lack key properties."""

    code = "key_missing"


class StateUnreadError(TargetError):
    """STATEs cannot be written: who read them is gone, or a disk is full; data is committed."""

    code = "state_unread"
    retryable = True


class InterruptedRunError(TargetError):
    """A signal ended the run after a last commit, or a second one during it."""

    code = "interrupted"
    retryable = True

    def __init__(self, sentence: str, number: int) -> None:
        """Remember which signal, for the exit code."""
        super().__init__(sentence)
        self.exit_code = 128 + number


class UnexpectedError(TargetError):
    """Something that the target does not know; the log has the traceback."""

    code = "unexpected"
