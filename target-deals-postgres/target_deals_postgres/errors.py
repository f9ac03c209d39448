"""What ends a run: each message is one sentence for the person who has to act.

TargetError
├── InputError              the tap sent something that is no Singer message
│   └── SchemaMissingError  a record came before its stream's SCHEMA
├── DatabaseError           the database cannot be reached or refuses what is needed
└── RejectedRecordsError    more records were refused than `max_rejected_records` allows
    └── KeyMissingError     and all of them because they lack a key
"""

from __future__ import annotations

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException


class TargetError(Exception):
    """Ends the run with exit code 1 and its message, without a traceback."""


class InputError(TargetError):
    """A line of the input is no Singer message, or one that makes no sense where it stands."""


class SchemaMissingError(InputError, RecordsWithoutSchemaException):
    """A message names a stream whose SCHEMA has not been sent."""


class DatabaseError(TargetError):
    """The database cannot be reached, or it refuses something that the run needs."""


class RejectedRecordsError(TargetError):
    """More records were rejected than `max_rejected_records` allows; all others are committed."""


class KeyMissingError(RejectedRecordsError, MissingKeyPropertiesError):
    """The rejected records lack key properties."""
