"""Knows deals: whose they are, which stages they may be in, and what is shown of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from hubspot_client.errors import ErrorBody, HubSpotError, TransientError
from hubspot_client.paging import Paging, after
from hubspot_client.writing.batches import TEMPORARY

from crm_api.crm import contacts
from crm_api.crm.records import DEAL_TO_CONTACT, New, UnlinkableError, make
from crm_api.errors import NotFoundError, ValidationFailedError

if TYPE_CHECKING:
    from hubspot_client.writing.batches import Written

    from crm_api.crm.catalog import Catalog, Kind, Pipeline
    from crm_api.crm.talk import Talk
    from crm_api.ledger.users import User

SHOWN = (
    "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate",
    "hs_object_id", "pipeline",
)  # fmt: skip
DEFAULT_PIPELINE = "default"
_FIELDS = {
    name: name
    for name in ("dealname", "dealstage", "amount", "description", "pipeline", "closedate")
}


class Target(msgspec.Struct, rename="camel"):
    """One end of a link."""

    to_object_id: str | int


class End(msgspec.Struct):
    """The other."""

    id: str


class Linked(msgspec.Struct, rename={"start": "from"}):
    """The links of one record."""

    start: End
    to: list[Target] = []
    paging: Paging | None = None


class LinkedAnswer(msgspec.Struct):
    """The answer of the batch read of links."""

    results: list[Linked] = []
    errors: list[ErrorBody] = []


@dataclass(frozen=True)
class Made:
    """A deal that was made, and the contact that it hangs on: HubSpot may have merged the old."""

    record: Written
    contact_id: str


def create(talk: Talk, catalog: Catalog, user: User, values: dict[str, str], *, key: str) -> Made:
    """Make a deal of a user's contact.

    Args:
        talk: With HubSpot.
        catalog: Knows the stages.
        user: Whose.
        values: Properties, `dealstage` among them.
        key: What it is called, if the account has our property.

    Raises:
        ValidationFailedError: There is no such pipeline or stage, or HubSpot refuses a value.
        NotFoundError: The user's contact is gone.
        HubSpotError: HubSpot cannot be worked with now.
    """
    values.setdefault("pipeline", _default(catalog.pipelines(talk, "deals")))
    check_stage(talk, catalog, "deals", values["pipeline"], values["dealstage"], "dealstage")
    unique = key if catalog.has_key(talk, "deals") else None

    def of(contact_id: str) -> Written:
        links = [(DEAL_TO_CONTACT, contact_id)]
        return make(talk, New("deals", values, links, _FIELDS, unique))

    try:
        return Made(of(user.contact_id), user.contact_id)
    except UnlinkableError:
        now = contacts.moved(talk, user.contact_id, user.email)
        if now is None or now == user.contact_id:
            raise NotFoundError from None
    try:
        return Made(of(now), now)
    except UnlinkableError:
        raise NotFoundError from None


def contact_of(talk: Talk, deal_id: str, user: User) -> str | None:
    """Return the user's contact as it is now, if a deal is linked to it; None where it is not."""
    if is_linked(talk, deal_id, user.contact_id):
        return user.contact_id
    now = contacts.moved(talk, user.contact_id, user.email)
    if now is None or now == user.contact_id or not is_linked(talk, deal_id, now):
        return None
    return now


def is_linked(talk: Talk, deal_id: str, contact_id: str) -> bool:
    """Tell whether HubSpot has a link from a deal to a contact; read by id, all pages."""
    inputs = [{"id": deal_id}]
    while inputs:
        answer = talk.post(
            talk.paths.associations("deals", "contacts"), {"inputs": inputs},
            what="links of a deal", shape=LinkedAnswer, family="associations",
        )  # fmt: skip
        if any(error.category in TEMPORARY for error in answer.errors):
            raise TransientError("HubSpot does not say what a deal is linked to.")
        inputs = []
        for each in answer.results:
            if any(str(target.to_object_id) == contact_id for target in each.to):
                return True
            if (following := after(each.paging)) is not None:
                inputs = [{"id": deal_id, "after": following}]
    return False


def is_there(talk: Talk, deal_id: str) -> bool:
    """Tell whether there is such a deal."""
    try:
        talk.get(f"{talk.paths.objects('deals')}/{deal_id}", what="a deal", shape=End)
    except HubSpotError as failure:
        if failure.status == 404:  # noqa: PLR2004 - gone
            return False
        raise
    return True


def check_stage(
    talk: Talk, catalog: Catalog, kind: Kind, pipeline_id: str, stage_id: str, field: str
) -> None:
    """Refuse a pipeline that there is not, and a stage that is none of it.

    Raises:
        ValidationFailedError: Naming those that there are.
    """
    for fresh in (False, True):  # it may have been made a moment ago
        known = {each.id: each for each in catalog.pipelines(talk, kind, fresh=fresh)}
        chosen = known.get(pipeline_id)
        if chosen is not None and stage_id in chosen.stage_ids():
            return
    if chosen is None:
        raise ValidationFailedError.field("pipeline", f"must be one of {', '.join(known)}")
    raise ValidationFailedError.field(field, f"must be one of {', '.join(chosen.stage_ids())}")


def _default(pipelines: list[Pipeline]) -> str:
    ids = [each.id for each in pipelines]
    return DEFAULT_PIPELINE if DEFAULT_PIPELINE in ids or not ids else ids[0]
