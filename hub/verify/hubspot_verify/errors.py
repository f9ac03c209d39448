"""Why a copy could not be verified: sentences for people, codes for programs."""

from __future__ import annotations

from typing import ClassVar


class VerifyError(Exception):
    """Something that the command does not know; the log has the traceback."""

    code: ClassVar[str] = "unexpected"
    retryable: ClassVar[bool] = False


class SettingsError(VerifyError):
    """A setting is missing or makes no sense, or a file cannot be read; the message names it."""

    code = "settings_invalid"


class UnfinishedError(VerifyError):
    """The state has no finished run of these settings: what the copy should have is unknown."""

    code = "copy_unfinished"


class TableError(VerifyError):
    """A table, or a column of its key, is not there."""

    code = "table_missing"


class UnreachableError(VerifyError):
    """No connection to the database, or one that was lost."""

    code = "database_unreachable"
    retryable = True


class RefusedError(VerifyError):
    """The database refuses a question, or the table of proofs."""

    code = "database_refused"


class RepairError(VerifyError):
    """Tap or target did not do their part; their own record says why."""

    code = "plugin_failed"
