"""Knows how contacts with their deals and tickets are read from HubSpot: four rounds of calls.

One list of contacts with their deals' ids, the deals a hundred a call, all deals' tickets' ids a
thousand a call, the tickets a hundred a call; calls of a round go side by side. Nothing is searched
for, so that what was written a moment ago is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from hubspot_client.errors import ErrorBody, InconsistentError, refuse_partial
from hubspot_client.paging import Cursors, Paging, after
from hubspot_client.writing.batches import TEMPORARY

from crm_api.crm import contacts, deals, tickets
from crm_api.crm.deals import LinkedAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crm_api.crm.talk import Talk
    from crm_api.ledger.users import User

CONTACT = ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")
LARGEST_ID = 2**63 - 1
_READ_BATCH = 100
_LINKS_BATCH = 1000


class _Id(msgspec.Struct):
    id: str


class _Inline(msgspec.Struct):
    results: list[_Id] = []
    paging: Paging | None = None


class _Record(msgspec.Struct):
    id: str
    properties: dict[str, str | None] = {}
    associations: dict[str, _Inline] = {}


class _Records(msgspec.Struct):
    results: list[_Record]
    paging: Paging | None = None
    errors: list[ErrorBody] = []


@dataclass(frozen=True)
class Page:
    """Contacts as they are shown, and where the next page begins."""

    contacts: list[dict[str, Any]]
    next_after: str | None


def read(talk: Talk, *, limit: int, cursor: str | None, only: User | None) -> Page:
    """Read a page.

    Args:
        talk: With HubSpot.
        limit: Contacts of a page, 100 at the most.
        cursor: The id that the page begins with, or the next higher one there is.
        only: Whose contact alone may be seen; None: all contacts.

    Raises:
        HubSpotError: HubSpot cannot be worked with now.
    """
    if cursor is not None and int(cursor) > LARGEST_ID:
        return Page([], None)
    if only is None:
        found, following = _contacts(talk, limit, cursor)
    else:
        there = contacts.current(talk, only.contact_id, only.email)
        is_behind = there is None or (cursor is not None and int(there.id) < int(cursor))
        found = [] if there is None or is_behind else [_Record(there.id, there.properties)]
        following = None
    links = _deals_of(talk, found, listed=only is None)
    deal_ids = _ids(each for each in links.values())
    known = _batch(talk, "deals", deal_ids, deals.SHOWN)
    ticket_links = _links(talk, "deals", "tickets", list(known))
    of_tickets = _batch(talk, "tickets", _ids(ticket_links.values()), tickets.READ)
    shown_tickets = {
        each.id: tickets.shown(each.properties, each.id, None) for each in of_tickets.values()
    }
    shown_deals = {
        each.id: {
            **{name: each.properties.get(name) or None for name in deals.SHOWN},
            "id": each.id,
            "tickets": _sorted(ticket_links.get(each.id, ()), shown_tickets),
        }
        for each in known.values()
    }
    return Page(
        [
            {
                **{name: each.properties.get(name) or None for name in CONTACT},
                "id": each.id,
                "deals": _sorted(links.get(each.id, ()), shown_deals),
            }
            for each in sorted(found, key=lambda each: int(each.id))
        ],
        following,
    )


def ticket_ids(page: Page) -> list[str]:
    """Return the tickets of a page."""
    return [
        ticket["id"]
        for contact in page.contacts
        for deal in contact["deals"]
        for ticket in deal["tickets"]
    ]


def name_categories(page: Page, words: Mapping[str, str]) -> None:
    """Put clients' own words for categories in the place of HubSpot's."""
    for contact in page.contacts:
        for deal in contact["deals"]:
            for ticket in deal["tickets"]:
                ticket["category"] = words.get(ticket["id"], ticket["category"])


def _sorted(ids: Iterable[str], known: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    there = sorted((each for each in dict.fromkeys(ids) if each in known), key=int)
    return [known[each] for each in there]


def _ids(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(each for group in groups for each in group))


def _contacts(talk: Talk, limit: int, cursor: str | None) -> tuple[list[_Record], str | None]:
    cursors = Cursors("contacts")
    while True:
        place = {} if cursor is None else {"after": cursor}
        answer = talk.get(
            talk.paths.objects("contacts"), what="contacts (list)", shape=_Records, limit=limit,
            properties=",".join(CONTACT), associations="deals", **place,
        )  # fmt: skip
        following = after(answer.paging)
        if following is not None and not following.isdecimal():
            raise InconsistentError("HubSpot's cursor of contacts is no record's id.")
        if answer.results or following is None:
            return answer.results, following
        cursors.check(cursor, following, empty=True)
        cursor = following


def _deals_of(talk: Talk, found: Sequence[_Record], *, listed: bool) -> dict[str, list[str]]:
    """Return the deals of contacts; a list names a hundred of each, the rest is asked for."""
    links: dict[str, list[str]] = {}
    more = []
    for each in found:
        inline = each.associations.get("deals", _Inline())
        links[each.id] = [link.id for link in inline.results]
        if not listed or after(inline.paging):
            more.append(each.id)
    return links | _links(talk, "contacts", "deals", more)


def _links(talk: Talk, start: str, end: str, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids that records are linked to, all pages of them."""
    inputs: list[dict[str, str]] = [{"id": each} for each in ids]
    links: dict[str, list[str]] = {}
    while inputs:
        parts = [inputs[at : at + _LINKS_BATCH] for at in range(0, len(inputs), _LINKS_BATCH)]
        answers = talk.side_by_side([_link_call(talk, start, end, part) for part in parts])
        inputs = []
        for answer in answers:
            refuse_partial(answer.errors, what=f"links from {start} to {end}")
            for each in answer.results:
                links.setdefault(each.start.id, []).extend(str(t.to_object_id) for t in each.to)
                if (following := after(each.paging)) is not None:
                    inputs.append({"id": each.start.id, "after": following})
    return links


def _link_call(talk: Talk, start: str, end: str, inputs: list[dict[str, str]]) -> Any:
    def call() -> LinkedAnswer:
        return talk.post(
            talk.paths.associations(start, end), {"inputs": inputs}, shape=LinkedAnswer,
            what=f"links from {start} to {end}", family="associations",
        )  # fmt: skip

    return call


def _batch(
    talk: Talk, kind: str, ids: Sequence[str], names: Sequence[str], *, again: bool = True
) -> dict[str, _Record]:
    """Read records; those that are gone are left out, those that were passed over asked for."""
    parts = [ids[at : at + _READ_BATCH] for at in range(0, len(ids), _READ_BATCH)]
    answers = talk.side_by_side([_batch_call(talk, kind, part, names) for part in parts])
    found: dict[str, _Record] = {}
    gone: set[str] = set()
    for answer in answers:
        lasting = [error for error in answer.errors if error.category not in TEMPORARY]
        refuse_partial(lasting, what=kind)
        found |= {each.id: each for each in answer.results}
        for error in lasting:
            gone |= {str(each) for each in error.context.get("ids") or ()}
    left = [each for each in ids if each not in found and each not in gone]
    if left and not again:
        raise InconsistentError(f"HubSpot passes over {len(left)} {kind} without a word.")
    return found | _batch(talk, kind, left, names, again=False) if left else found


def _batch_call(talk: Talk, kind: str, ids: Sequence[str], names: Sequence[str]) -> Any:
    def call() -> _Records:
        body = {"inputs": [{"id": each} for each in ids], "properties": list(names)}
        return talk.post(
            talk.paths.batch_read(kind), body, what=f"{kind} (batch read)", shape=_Records
        )

    return call
