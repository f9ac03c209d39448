"""Knows tickets: where an account keeps their category, and what is shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.crm import contacts, deals
from crm_api.crm.records import TICKET_TO_CONTACT, TICKET_TO_DEAL, New, UnlinkableError, make
from crm_api.errors import NotFoundError, ValidationFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubspot_client.writing.batches import Written
    from hubspot_client.writing.plan import Writable

    from crm_api.crm.catalog import Catalog
    from crm_api.crm.talk import Talk
    from crm_api.ledger.users import User

# What is shown, and which property of HubSpot's it is.
SHOWN = {
    "createdate": "createdate",
    "description": "content",
    "hs_lastmodifieddate": "hs_lastmodifieddate",
    "hs_object_id": "hs_object_id",
    "hs_pipeline_stage": "hs_pipeline_stage",
    "hs_ticket_priority": "hs_ticket_priority",
    "pipeline": "hs_pipeline",
    "subject": "subject",
}
CATEGORY, OWN_CATEGORY = "hs_ticket_category", "category"
READ = (*SHOWN.values(), CATEGORY, OWN_CATEGORY)
_FIELDS = {
    "subject": "subject", "content": "description", "hs_pipeline": "pipeline",
    "hs_pipeline_stage": "hs_pipeline_stage", "hs_ticket_priority": "hs_ticket_priority",
    CATEGORY: "category", OWN_CATEGORY: "category",
}  # fmt: skip
_PRIORITIES = ("LOW", "MEDIUM", "HIGH")


def create(
    talk: Talk,
    catalog: Catalog,
    user: User,
    deal_id: str,
    values: Mapping[str, str],
    *,
    categories: Mapping[str, str],
    key: str,
) -> Written:
    """Make a ticket on a deal of the user's, linked to the user's contact too.

    Args:
        talk: With HubSpot.
        catalog: Knows stages and options.
        user: Whose.
        deal_id: The deal, which is the user's.
        values: The client's fields.
        categories: HubSpot's option for each category.
        key: What it is called, if the account has our property.

    Raises:
        ValidationFailedError: There is no such pipeline, stage or priority, or HubSpot refuses.
        NotFoundError: The deal or the contact is gone.
        HubSpotError: HubSpot cannot be worked with now.
    """
    stage = values["hs_pipeline_stage"]
    deals.check_stage(talk, catalog, "tickets", values["pipeline"], stage, "hs_pipeline_stage")
    known = catalog.properties(talk, "tickets")
    priorities = _options(known.get("hs_ticket_priority")) or list(_PRIORITIES)
    if values["hs_ticket_priority"] not in priorities:
        raise ValidationFailedError.field(
            "hs_ticket_priority", f"must be one of {', '.join(priorities)}"
        )
    properties = {
        "subject": values["subject"],
        "content": values["description"],
        "hs_pipeline": values["pipeline"],
        "hs_pipeline_stage": stage,
        "hs_ticket_priority": values["hs_ticket_priority"],
        **_category(known, values["category"], categories),
    }
    unique = key if catalog.has_key(talk, "tickets") else None

    def of(contact_id: str) -> Written:
        links = [(TICKET_TO_CONTACT, contact_id), (TICKET_TO_DEAL, deal_id)]
        return make(talk, New("tickets", properties, links, _FIELDS, unique))

    try:
        return of(user.contact_id)
    except UnlinkableError:
        now = contacts.moved(talk, user.contact_id, user.email)
        if now is None or now == user.contact_id:
            raise NotFoundError from None  # then it is the deal that is gone
    try:
        return of(now)
    except UnlinkableError:
        raise NotFoundError from None


def _category(
    known: Mapping[str, Writable], word: str, categories: Mapping[str, str]
) -> dict[str, str]:
    """Return the property for a category: the account's own, HubSpot's, or none."""
    own = known.get(OWN_CATEGORY)
    if own is not None and not own.is_read_only and word in (_options(own) or [word]):
        return {OWN_CATEGORY: word}
    option = categories.get(word)
    return {CATEGORY: option} if option and option in _options(known.get(CATEGORY)) else {}


def _options(definition: Writable | None) -> list[str]:
    return [] if definition is None else [str(each.get("value")) for each in definition.options]


def shown(
    properties: Mapping[str, str | None], ticket_id: str, word: str | None
) -> dict[str, str | None]:
    """Return a ticket as lists show it; `word` is the client's own for the category."""
    # What was cleared is an empty text in HubSpot; it is unset like what never was.
    found = {name: properties.get(theirs) or None for name, theirs in SHOWN.items()}
    category = word or properties.get(OWN_CATEGORY) or properties.get(CATEGORY)
    return {**found, "id": ticket_id, "hs_object_id": ticket_id, "category": category}
