"""Lists and single records, with cursors and inline associations."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any

from hubspot_simulator.encoding import Encoder, results
from hubspot_simulator.errors import invalid, not_found, not_numeric
from hubspot_simulator.histories import CONTACT_VERSIONS, history_json

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.portal import Portal
    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records

PAGE_LIMIT = 100
HISTORY_PAGE_LIMIT = 50


def list_records(call: Call) -> bytes:
    records = call.readable()
    limit = call.number("limit", 10)
    with_history = call.words("propertiesWithHistory")
    if with_history and limit > HISTORY_PAGE_LIMIT:
        raise invalid(
            "The maximum number of inputs supported in a batch request for property histories is "
            f"{HISTORY_PAGE_LIMIT}. Please reduce the number of items and try again"
        )
    if not 1 <= limit <= PAGE_LIMIT:
        raise invalid(f"limit must be between 1 and {PAGE_LIMIT}, but was {limit}")
    call.require_sensitive(records, call.words("properties"))
    partners = [call.portal.types.resolve(each).name for each in call.words("associations")]
    archived = call.flag("archived")
    if archived and records.type.name in call.portal.behaviour.no_archived_list:
        raise invalid("Paging through deleted objects is not yet supported")
    ids, following = _page(call, records, limit, archived=archived)
    extras: dict[int, dict[str, Any]] = {}
    for each in ids if partners or with_history else ():
        extras[each] = _extras(call, records, each, partners, with_history)
    rows = Encoder(call.portal.portal_id, records, call.words("properties")).encode(ids, extras)
    if following is None:
        return results(rows)
    link = f"{call.base_url}?limit={limit}&after={following}"
    return results(rows, paging={"next": {"after": following, "link": link}})


def _page(
    call: Call, records: Records, limit: int, *, archived: bool
) -> tuple[list[int], str | None]:
    """Give the ids of one page and the cursor of the next."""
    behaviour = call.portal.behaviour
    call.portal.lists_served += 1
    served = call.portal.lists_served
    after = _read_cursor(call.portal, call.query.get("after"))
    stuck = behaviour.stuck_cursors and after
    if behaviour.unordered_list:
        order = records.cached(
            ("shuffled", archived, records.version),
            lambda: sorted(records.ids_from(archived=archived), key=_key),
        )
        start = bisect_left(order, _key(after), key=_key) if after else 0
        found = order[start : start + limit + 1]
    else:
        found = list(islice(records.ids_from(after, archived=archived), limit + 1))
    if behaviour.empty_page_every and served % behaviour.empty_page_every == 0 and found:
        return [], _cursor(call.portal, found[0])
    if behaviour.short_page_every and served % behaviour.short_page_every == 0:
        limit = max(1, limit // 2)
    page, rest = found[:limit], found[limit:]
    if stuck:
        return page, str(after)
    return page, _cursor(call.portal, rest[0]) if rest else None


def _cursor(portal: Portal, object_id: int) -> str:
    """Name the next record: its id (HubSpot docs), or a token that cannot be made up."""
    if not portal.behaviour.opaque_cursors:
        return str(object_id)
    return base64.urlsafe_b64encode(b"%d.%d" % (object_id, _key(object_id))).decode()


def _read_cursor(portal: Portal, after: str | None) -> int:
    if not after:
        return 0
    if not portal.behaviour.opaque_cursors:
        if not after.isdecimal():
            raise invalid(f"Invalid paging token: {after}")
        return int(after)
    try:
        object_id, check = map(int, base64.urlsafe_b64decode(after).split(b"."))
    except (ValueError, binascii.Error):
        object_id, check = 0, -1
    if check == _key(object_id):
        return object_id
    if portal.behaviour.bare_cursor_restarts:
        return 0
    raise invalid(f"Invalid paging token: {after}")


def _key(object_id: int) -> int:
    return object_id * 2_654_435_761 % 4_294_967_291


def _extras(
    call: Call, records: Records, object_id: int, partners: list[str], with_history: list[str]
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    associations = {
        partner: page
        for partner in partners
        if (page := inline_associations(call, records, object_id, partner, after=0))
    }
    if associations:
        extra["associations"] = associations
    record = records.get(object_id) if with_history else None
    if record is not None:
        extra["propertiesWithHistory"] = told_history(call, records, record, with_history)
    return extra


def told_history(
    call: Call, records: Records, record: Record, names: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Give the versions of properties that HubSpot still tells; unknown names are ignored."""
    behaviour = call.portal.behaviour
    if record.archived_ms is not None and not behaviour.archived_history:
        return {}
    limit = CONTACT_VERSIONS if records.type.name == "contacts" else behaviour.history_versions
    known = [name for name in names if name in records.definitions]
    return history_json(records.histories, record, known, limit)


def inline_associations(
    call: Call, records: Records, object_id: int, partner: str, *, after: int
) -> dict[str, Any]:
    """List linked ids with type names; one id comes once for each of its types (observed)."""
    targets = call.portal.live_links(records.type.name, object_id, partner)
    size = call.portal.behaviour.inline_association_page
    flat = [
        {"id": str(target), "type": each.name}
        for target, types in targets.items()
        if target >= after
        for each in types
    ]
    if not flat:
        return {}
    body: dict[str, Any] = {"results": flat[:size]}
    if len(flat) > size:
        # Types of one id are never torn apart: the cursor is an id.
        following = flat[size]["id"]
        body["results"] = [each for each in flat[:size] if each["id"] != following]
        type_id = call.portal.types.types[partner].type_id
        token = base64.b64encode(f"{type_id}-{following}".encode()).decode()
        root = f"/crm/v3/objects/{records.type.type_id}/{object_id}/associations/{type_id}"
        link = f"{root}?portalId={call.portal.portal_id}&after={token}"
        body["paging"] = {"next": {"after": token, "link": link}}
    return body


def read_inline_cursor(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token).rpartition(b"-")[2])
    except (ValueError, binascii.Error):
        raise invalid(f"Invalid paging token: {token}") from None


def find(call: Call, records: Records, object_id: str, *, archived: bool) -> Record:
    """Find one record; a merged id leads to the survivor (HubSpot changelog: deal merging)."""
    by = call.query.get("idProperty")
    if by and by != "hs_object_id":
        found = find_by(records, by, object_id)
    elif object_id.isdecimal():
        found = records.get(records.survivor(int(object_id)))
    else:
        raise not_numeric(object_id)
    if found is None or (found.archived_ms is not None) != archived:
        raise not_found()
    return found


def find_by(records: Records, name: str, value: str) -> Record | None:
    definition = records.definitions.get(name)
    if definition is None or not (definition.has_unique_value or name == "email"):
        raise invalid(f"idProperty {name} is not a unique property")
    return records.find_key(name, value)


def single_record(call: Call) -> bytes:
    records = call.readable()
    record = find(call, records, call.path["object_id"], archived=call.flag("archived"))
    partners = [call.portal.types.resolve(each).name for each in call.words("associations")]
    with_history = call.words("propertiesWithHistory")
    extras = {record.id: _extras(call, records, record.id, partners, with_history)}
    encoder = Encoder(call.portal.portal_id, records, call.words("properties"))
    return encoder.encode_record(record, extras)


def single_record_associations_v3(call: Call) -> dict[str, Any]:
    """Give one record's links by type name: where the inline paging links lead."""
    records = call.readable()
    partner = call.object_type("to_type").name
    object_id = call.path["object_id"]
    if not object_id.isdecimal():
        raise not_numeric(object_id)
    after = read_inline_cursor(call.query.get("after"))
    page = inline_associations(call, records, int(object_id), partner, after=after)
    return page or {"results": []}
