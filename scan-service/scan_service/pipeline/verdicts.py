"""Knows how a run ended: which of the service's errors each code of tap and target is.

The codes are the plugins' own (docs/codes.md). Their sentences are for people and are never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service_base.logs import mask

from scan_service.ledger.progress import LONGEST_REASON

if TYPE_CHECKING:
    from collections.abc import Mapping

TAP = "tap-hubspot-deals"
TARGET = "target-deals-postgres"
VERIFY = "hubspot-verify"
# Who talk to HubSpot, and say the same fields of it.
READERS = frozenset({TAP, VERIFY})
# A code that stands in neither table, such as one of a newer plugin, is an INTERNAL_ERROR.
OF_TAP = {
    "hubspot_unauthorized": "HUBSPOT_AUTH_ERROR",
    "hubspot_missing_scope": "HUBSPOT_AUTH_ERROR",
    "hubspot_daily_limit": "HUBSPOT_RATE_LIMIT",
    "hubspot_daily_reserve": "HUBSPOT_RATE_LIMIT",
    "hubspot_account_moving": "HUBSPOT_RATE_LIMIT",
    "hubspot_rate_limited": "HUBSPOT_RATE_LIMIT",
    "hubspot_unavailable": "HUBSPOT_API_ERROR",
    "hubspot_refused": "HUBSPOT_API_ERROR",
    "hubspot_inconsistent": "HUBSPOT_API_ERROR",
    "target_gone": "DATABASE_ERROR",
    "settings_invalid": "INTERNAL_ERROR",
    "state_invalid": "INTERNAL_ERROR",
    "not_compared": "INTERNAL_ERROR",
    "stream_map_failed": "INTERNAL_ERROR",
    "interrupted": "INTERNAL_ERROR",
    "unexpected": "INTERNAL_ERROR",
}
OF_TARGET = {
    "database_unreachable": "DATABASE_ERROR",
    "database_refused": "DATABASE_ERROR",
    "commit_unknown": "DATABASE_ERROR",
    "records_rejected": "DATABASE_ERROR",
    "key_missing": "DATABASE_ERROR",
    "settings_invalid": "INTERNAL_ERROR",
    "input_invalid": "INTERNAL_ERROR",
    "input_cut": "INTERNAL_ERROR",
    "schema_missing": "INTERNAL_ERROR",
    "stream_map_failed": "INTERNAL_ERROR",
    "state_unread": "INTERNAL_ERROR",
    "interrupted": "INTERNAL_ERROR",
    "unexpected": "INTERNAL_ERROR",
}
# Where tap or HubSpot is the trouble it says the tap's codes.
OF_VERIFY = OF_TAP | {
    "copy_unfinished": "INTERNAL_ERROR",
    "table_missing": "DATABASE_ERROR",
    "database_unreachable": "DATABASE_ERROR",
    "database_refused": "DATABASE_ERROR",
    "plugin_failed": "INTERNAL_ERROR",
}
# What a plugin says when the other one, or a signal, ended it: the other's word counts first.
CONSEQUENCES = frozenset({"target_gone", "input_cut", "state_unread", "interrupted"})
_KILLED = frozenset({137, 143})


@dataclass(frozen=True)
class Ending:
    """How a plugin says that it ended.

    Attributes:
        code: one of docs/codes.md.
        retryable: whether the same run may succeed later with nothing changed.
        sentence: for people.
    """

    code: str
    retryable: bool
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """How a run ended.

    Attributes:
        completed: whether all was read and loaded.
        code: the service's own error code, if not.
        message: a sentence for people, if not.
        try_again: whether another run may do better.
    """

    completed: bool
    code: str = ""
    message: str = ""
    try_again: bool = False


def judge(
    exit_code: int,
    endings: Mapping[str, Ending],
    exit_codes: Mapping[str, int],
    *,
    pipe_broke: bool,
    other: str,
) -> Verdict:
    """Judge an ended run.

    Args:
        exit_code: of `meltano run`.
        endings: what the plugins said, by plugin; one that was killed says nothing.
        exit_codes: of the plugins, as far as Meltano told.
        pipe_broke: whether Meltano itself met the broken pipe of the target first.
        other: the last words of anybody else, for where no plugin said anything.
    """
    if exit_code == 0:
        return Verdict(completed=True)
    said = [(endings[name], table) for name, table in _TABLES if name in endings]
    said.sort(key=lambda each: each[0].code in CONSEQUENCES)
    if said and said[0][0].code not in CONSEQUENCES:
        ending, table = said[0]
        code = table.get(ending.code, "INTERNAL_ERROR")
        return _failed(code, ending.sentence, try_again=ending.retryable)
    if pipe_broke or (TAP in endings and endings[TAP].code == "target_gone"):
        # A target that had a reason would have said it.
        return _failed("DATABASE_ERROR", "The loader was killed", try_again=True)
    killed = any(code < 0 or code in _KILLED for code in exit_codes.values())
    if said or killed or exit_code < 0 or exit_code > 128:  # noqa: PLR2004 - by a signal
        return _failed("INTERNAL_ERROR", "The run was killed", try_again=True)
    return _failed("INTERNAL_ERROR", other or f"The run ended with {exit_code}")


# The target's word first: a target that fails breaks the tap's pipe.
_TABLES = ((TARGET, OF_TARGET), (TAP, OF_TAP), (VERIFY, OF_VERIFY))


def _failed(code: str, message: str, *, try_again: bool = False) -> Verdict:
    return Verdict(
        completed=False, code=code, message=mask(message)[:LONGEST_REASON], try_again=try_again
    )
