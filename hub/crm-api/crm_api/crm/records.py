"""Knows how a deal or ticket is made with its links in one call, and never twice.

HubSpot knows no idempotency key. Where the account has our unique property, a record carries a key
of ours in it: after an unclear time-out it is looked for, and made only if it is not there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError, TransientError
from hubspot_client.writing.batches import BatchAnswer, Written

from crm_api.crm.catalog import KEY
from crm_api.crm.flaws import flaws_of, refuse
from crm_api.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_api.crm.catalog import Kind
    from crm_api.crm.talk import Talk

DEAL_TO_CONTACT = 3
TICKET_TO_CONTACT = 16
TICKET_TO_DEAL = 28
_log = logging.getLogger(__name__)
_REFUSED = (400, 404, 409)


class _TakenError(Exception):
    """There is a record with our key already."""


class UnlinkableError(Exception):
    """HubSpot has none of the records that the new one was to be linked to."""


@dataclass(frozen=True)
class New:
    """A record to be made.

    Args:
        kind: Of records.
        properties: As HubSpot names them.
        links: Association type and id of the other end.
        fields: The client's names of the properties that it may set.
        key: Its name in our unique property; None where the account lacks that.
    """

    kind: Kind
    properties: Mapping[str, str]
    links: Sequence[tuple[int, str]]
    fields: Mapping[str, str]
    key: str | None


def make(talk: Talk, new: New) -> Written:
    """Make a record.

    Returns:
        Its id and properties, as HubSpot answered.

    Raises:
        ValidationFailedError: HubSpot refuses a value.
        UnlinkableError: What it is to be linked to is gone, or was merged.
        HubSpotError: HubSpot cannot be worked with now; `talk.unclear` tells whether the record
            may have been made.
    """
    try:
        return _create(talk, new)
    except _TakenError:
        pass  # an earlier try went through, whose answer nobody got
    except TransientError:
        if talk.unclear is None or new.key is None or not talk.has_time():
            raise
    made = _look(talk, new)
    if made is not None:
        return made
    try:
        return _create(talk, new)
    except _TakenError:
        # The first call went through after all, behind our back.
        made = _look(talk, new)
        if made is None:
            raise TransientError("HubSpot has a record that it does not show.") from None
        return made


def _create(talk: Talk, new: New) -> Written:
    body = {
        "properties": {**new.properties, **({KEY: new.key} if new.key else {})},
        "associations": [
            {
                "to": {"id": to_id},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}],
            }
            for type_id, to_id in new.links
        ],
    }
    try:
        return talk.post_once(
            talk.paths.objects(new.kind), body, what=f"{new.kind} (create)", shape=Written,
            unclear=OutcomeUnknownError(new.kind, is_findable=new.key is not None),
        )  # fmt: skip
    except HubSpotError as failure:
        if type(failure) is not HubSpotError or failure.status not in _REFUSED:
            raise
        flaws = flaws_of(failure.body)
        if new.key and any(name == KEY for name, _ in flaws):
            raise _TakenError from None
        if flaws:
            refuse(flaws, new.fields)
        if "association" in failure.body.message or failure.status == 404:  # noqa: PLR2004
            raise UnlinkableError from None
        raise


def _look(talk: Talk, new: New) -> Written | None:
    body = {
        "inputs": [{"id": new.key}],
        "idProperty": KEY,
        "properties": [*new.properties, KEY, "createdate", "hs_lastmodifieddate"],
    }
    answer = talk.post(
        talk.paths.batch_read(new.kind), body, what=f"{new.kind} (batch read)", shape=BatchAnswer
    )
    return answer.results[0] if answer.results else None
