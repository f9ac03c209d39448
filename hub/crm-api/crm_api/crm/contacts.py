"""Knows how a person becomes a contact: one per address, found by it and never searched for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
from hubspot_client.errors import ErrorBody, HubSpotError, TransientError
from hubspot_client.writing.batches import NO_KEY, REFUSALS, BatchAnswer, Written

from crm_api.crm.flaws import flaws_of, refuse
from crm_api.errors import ExistingUserError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.crm.talk import Talk

Policy = Literal["update", "fill", "refuse"]
FIELDS = {"email": "email", "firstname": "firstname", "lastname": "lastname", "phone": "phone"}
# What a person is shown of a contact that was there before: it may be somebody else's.
SHOWN = (
    "hs_object_id", "email", "firstname", "lastname", "phone", "createdate", "lastmodifieddate"
)  # fmt: skip
_TYPE = "contacts"
_CONFLICT = 409


class _Single(msgspec.Struct):
    id: str
    properties: dict[str, str | None] = {}


@dataclass(frozen=True)
class Saved:
    """A contact as it is now: all that HubSpot answered, or what may be shown."""

    id: str
    properties: dict[str, str | None]


def save(talk: Talk, person: Mapping[str, str], policy: Policy) -> Saved:
    """Make a contact, or do to an existing one what the setting says.

    Args:
        talk: With HubSpot.
        person: The fields of FIELDS.
        policy: For a contact that is there already.

    Raises:
        ExistingUserError: There is one, and the policy is to refuse.
        ValidationFailedError: HubSpot refuses a value.
        HubSpotError: HubSpot cannot be worked with now.
    """
    values = {name: person[name] for name in FIELDS if name != "email"}
    email = person["email"]
    if policy != "update":
        there = by_address(talk, email)
        if there is not None and policy == "refuse":
            raise ExistingUserError
        if there is not None:
            values = {n: v for n, v in values.items() if not there.properties.get(n)}
            if not values:
                return there
    written = _upsert(talk, email, values)
    if written.new:
        return Saved(written.id, dict(written.properties))
    return _read(talk, written.id)


def by_address(talk: Talk, email: str) -> Saved | None:
    """Return the contact of an address, which may be its second one."""
    return _found(talk, {"id": email}, "email")


def by_id(talk: Talk, contact_id: str) -> Saved | None:
    """Return a contact; of a merged one the survivor, whose id is another."""
    try:
        answer = talk.get(
            f"{talk.paths.objects(_TYPE)}/{contact_id}", what="a contact", shape=_Single,
            properties=",".join(SHOWN),
        )  # fmt: skip
    except HubSpotError as failure:
        if failure.status == 404:  # noqa: PLR2004 - gone
            return None
        raise
    return Saved(answer.id, answer.properties)


def moved(talk: Talk, contact_id: str, email: str) -> str | None:
    """Return the id of a user's contact as it is now; None where there is none any more."""
    found = current(talk, contact_id, email)
    return None if found is None else found.id


def current(talk: Talk, contact_id: str, email: str) -> Saved | None:
    """Return a user's contact as it is now; after a merge its id is another."""
    return by_id(talk, contact_id) or by_address(talk, email)


def _found(talk: Talk, key: dict[str, str], name: str) -> Saved | None:
    body = {"inputs": [key], "properties": list(SHOWN), "idProperty": name}
    answer = talk.post(
        talk.paths.batch_read(_TYPE), body, what="contacts (batch read)", shape=BatchAnswer
    )
    if answer.results:
        return Saved(answer.results[0].id, _shown(answer.results[0].properties))
    if any(error.category != "OBJECT_NOT_FOUND" for error in answer.errors) or not answer.errors:
        raise TransientError("HubSpot does not say whether a contact is there.")
    return None


def _read(talk: Talk, contact_id: str) -> Saved:
    found = by_id(talk, contact_id)
    if found is None:
        raise TransientError("HubSpot lost a contact that it had just written.")
    return Saved(found.id, _shown(found.properties))


def _shown(properties: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: properties.get(name) for name in SHOWN}


def _upsert(talk: Talk, email: str, values: Mapping[str, str]) -> Written:
    one = {
        "id": email, "idProperty": "email", "properties": {**values},
        "objectWriteTraceId": uuid.uuid4().hex,
    }  # fmt: skip
    try:
        answer = talk.post(
            talk.paths.batch(_TYPE, "upsert"), {"inputs": [one]}, what="contacts (upsert)",
            shape=BatchAnswer,
        )  # fmt: skip
    except HubSpotError as failure:
        if type(failure) is not HubSpotError or failure.status not in REFUSALS:
            raise
        if failure.body.message.startswith(NO_KEY):
            return _without_key(talk, email, values)
        raise _refusal(failure.body) from None
    if answer.results:
        return answer.results[0]
    if answer.errors and answer.errors[0].category == "CONFLICT":
        return _without_key(talk, email, values)
    if answer.errors:
        raise _refusal(answer.errors[0])
    raise TransientError("HubSpot says nothing about a contact that it was given.")


def _without_key(talk: Talk, email: str, values: Mapping[str, str]) -> Written:
    """Look, then update or create: a few accounts take no address as a key."""
    there = by_address(talk, email)
    path = talk.paths.objects(_TYPE)
    try:
        if there is None:
            body = {"properties": {"email": email, **values}, "associations": []}
            made = talk.post(path, body, what="contacts (create)", shape=Written)
            made.new = True
            return made
        inputs = {"inputs": [{"id": there.id, "properties": dict(values)}]}
        answer = talk.post(
            talk.paths.batch(_TYPE, "update"), inputs, what="contacts (update)", shape=BatchAnswer
        )
    except HubSpotError as failure:
        if type(failure) is not HubSpotError or failure.status not in REFUSALS:
            raise
        if failure.status == _CONFLICT:  # made by somebody meanwhile, or by our own lost call
            raise TransientError("A contact was made at the same time.") from None
        raise _refusal(failure.body) from None
    if answer.results:
        return answer.results[0]
    if answer.errors:
        raise _refusal(answer.errors[0])
    raise TransientError("HubSpot says nothing about a contact that it was given.")


def _refusal(body: ErrorBody) -> Exception:
    flaws = flaws_of(body)
    if not flaws:
        return RefusedError()
    try:
        refuse(flaws, FIELDS)
    except Exception as error:  # noqa: BLE001 - to be raised where it belongs
        return error
