"""Writing links: at create, by default type, by given types; both directions at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubspot_simulator.batch_read import batch_times
from hubspot_simulator.call import Call, encode
from hubspot_simulator.errors import Answer, ApiError, invalid
from hubspot_simulator.object_types import ObjectType
from hubspot_simulator.write_log import Write
from hubspot_simulator.writing.failures import Failure
from hubspot_simulator.writing.inputs import many, status_with_errors
from hubspot_simulator.writing.scopes import writable_type

if TYPE_CHECKING:
    from hubspot_simulator.association_types import AssociationType

LINK_LIMIT = 2000  # HubSpot docs: "Associations v4 guide"
NOT_VALID = "one or more associations are not valid"


@dataclass(frozen=True)
class Spec:
    """One link to be made from a record of one type; no types: the default one."""

    start: ObjectType
    end: ObjectType
    to_id: int
    types: tuple[AssociationType, ...] = ()

    def make(self, call: Call, from_id: int) -> None:
        portal = call.portal
        start, end = self.start, self.end
        present = portal.links.of(start.name, from_id, end.name).get(self.to_id, ())
        if not self.types:
            portal.link(start.name, from_id, end.name, self.to_id)
        else:
            # Only the labels given stay; HubSpot's own types do (guide to associations).
            plain = portal.association_types.unlabeled(start, end)
            kept = [each for each in present if each.label is None or each.primary]
            wanted = tuple(dict.fromkeys((*kept, plain, *self.types)))
            portal.links.set(start.name, from_id, end.name, self.to_id, wanted)
        after = portal.links.of(start.name, from_id, end.name).get(self.to_id, ())
        changed = tuple(str(each.type_id) for each in after if each not in present)
        to = (end.name, str(self.to_id))
        portal.writes.append(Write("linked", start.name, str(from_id), changed=changed, to=to))


def read_types(
    call: Call, start: ObjectType, end: ObjectType, specs: Any
) -> tuple[AssociationType, ...]:
    """Find the types that a body names.

    Raises:
        ApiError: If one does not lead from the one object type to the other.
    """
    known = {
        (each.category, each.type_id): each for each in call.portal.association_types.of(start, end)
    }
    found = []
    for spec in specs if isinstance(specs, list) else [None]:
        key = (spec.get("associationCategory"), spec.get("associationTypeId")) if spec else None
        if key not in known:
            raise invalid(f"{NOT_VALID}: no such type from {start.singular} to {end.singular}")
        found.append(known[key])
    return tuple(found)


def read_inline(call: Call, start: ObjectType, associations: list[Any]) -> list[Spec]:
    """Read the links of a record that is to be created with them, or not at all.

    Raises:
        Failure: If one leads nowhere.
    """
    specs = []
    for each in associations:
        to_id = str((each.get("to") or {}).get("id", ""))
        for kind in each.get("types") or []:
            found = _by_type_id(call, start, kind)
            if found is None or not to_id.isdecimal():
                raise Failure(400, "VALIDATION_ERROR", NOT_VALID)
            if not call.portal.records(found.to_type).is_live(int(to_id)):
                raise Failure(400, "VALIDATION_ERROR", NOT_VALID)
            end = call.portal.types.types[found.to_type]
            specs.append(Spec(start, end, int(to_id), (found,)))
    return specs


def _by_type_id(call: Call, start: ObjectType, spec: dict[str, Any]) -> AssociationType | None:
    key = (spec.get("associationCategory"), spec.get("associationTypeId"))
    for end in call.portal.types.types.values():
        for each in call.portal.association_types.of(start, end):
            if (each.category, each.type_id) == key:
                return each
    return None


Pair = tuple[ObjectType, ObjectType]


def _ends(call: Call, name: str = "from_type") -> Pair:
    return writable_type(call, name), writable_type(call, "to_type")


def _end(each: dict[str, Any], side: str) -> str:
    return str((each.get(side) or {}).get("id", ""))


def _check_ends(call: Call, pair: Pair, from_id: str, to_id: str) -> None:
    """Let a link pass whose two records are there.

    Raises:
        Failure: If one is not.
    """
    for side, kind, object_id in zip(("FROM", "TO"), pair, (from_id, to_id), strict=True):
        records = call.portal.records(kind.name)
        if not object_id.isdecimal() or not records.is_live(int(object_id)):
            raise Failure(
                404,
                "OBJECT_NOT_FOUND",
                f"No {kind.singular} with ID {object_id} exists.",
                context={"fromObjectId": [from_id], "toObjectId": [to_id]},
                sub_category=f"crm.associations.{side}_OBJECT_NOT_FOUND",
            )


def _default_result(call: Call, start: ObjectType, end: ObjectType, ids: tuple[str, str]) -> Any:
    plain = call.portal.association_types.unlabeled(start, end)
    return {
        "from": {"id": ids[0]},
        "to": {"id": ids[1]},
        "associationSpec": {
            "associationCategory": plain.category,
            "associationTypeId": plain.type_id,
        },
    }


def _typed_result(call: Call, pair: Pair, ids: tuple[str, str]) -> dict[str, Any]:
    start, end = pair
    types = call.portal.links.of(start.name, int(ids[0]), end.name).get(int(ids[1]), ())
    numeric = call.portal.behaviour.numeric_to_object_id
    return {
        "fromObjectTypeId": start.type_id,
        "fromObjectId": int(ids[0]) if numeric else ids[0],
        "toObjectTypeId": end.type_id,
        "toObjectId": int(ids[1]) if numeric else ids[1],
        "labels": [each.label for each in types if each.label],
    }


def _answer(
    call: Call, results: list[dict[str, Any]], failures: list[Failure], status: int
) -> Answer:
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, **batch_times(call)}
    if failures:
        body |= {
            "numErrors": len(failures),
            "errors": [failure.as_error(None) for failure in failures],
        }
        status = status_with_errors(call, status)
    return Answer(encode(body), status)


def link_default(call: Call) -> Answer:
    start, end = pair = _ends(call)
    results: list[dict[str, Any]] = []
    failures = []
    for each in many(call, LINK_LIMIT):
        ids = _end(each, "from"), _end(each, "to")
        try:
            _check_ends(call, pair, *ids)
        except Failure as failure:
            failures.append(failure)
            continue
        Spec(start, end, int(ids[1])).make(call, int(ids[0]))
        results.append(_default_result(call, start, end, ids))
        results.append(_default_result(call, end, start, ids[::-1]))
    return _answer(call, results, failures, 200)


def link_typed(call: Call) -> Answer:
    start, end = pair = _ends(call)
    inputs = many(call, LINK_LIMIT)
    types = [read_types(call, start, end, each.get("types")) for each in inputs]
    results, failures = [], []
    for each, wanted in zip(inputs, types, strict=True):
        ids = _end(each, "from"), _end(each, "to")
        try:
            _check_ends(call, pair, *ids)
        except Failure as failure:
            failures.append(failure)
            continue
        Spec(start, end, int(ids[1]), wanted).make(call, int(ids[0]))
        results.append(_typed_result(call, pair, ids))
    return _answer(call, results, failures, 200 if call.is_dated else 201)


def link_one_default(call: Call) -> Answer:
    start, end = pair = _ends(call, "object_type")
    ids = call.path["object_id"], call.path["to_id"]
    _check_one(call, pair, *ids)
    Spec(start, end, int(ids[1])).make(call, int(ids[0]))
    both = [
        _default_result(call, start, end, ids),
        _default_result(call, end, start, (ids[1], ids[0])),
    ]
    return _answer(call, both, [], 200)


def link_one_typed(call: Call) -> Answer:
    start, end = pair = _ends(call, "object_type")
    ids = call.path["object_id"], call.path["to_id"]
    types = read_types(call, start, end, call.array)
    _check_one(call, pair, *ids)
    Spec(start, end, int(ids[1]), types).make(call, int(ids[0]))
    return Answer(encode(_typed_result(call, pair, ids)), 201)


def unlink_one(call: Call) -> Answer:
    start, end = _ends(call, "object_type")
    _unlink(call, start, end, call.path["object_id"], call.path["to_id"])
    return Answer(b"", 204)


def _check_one(call: Call, pair: Pair, from_id: str, to_id: str) -> None:
    try:
        _check_ends(call, pair, from_id, to_id)
    except Failure as failure:
        raise ApiError(404, str(failure), category=failure.category) from None


def _unlink(call: Call, start: ObjectType, end: ObjectType, from_id: str, to_id: str) -> None:
    if not (from_id.isdecimal() and to_id.isdecimal()):
        return
    if int(to_id) in call.portal.links.of(start.name, int(from_id), end.name):
        call.portal.unlink(start.name, from_id, end.name, to_id)
        call.portal.writes.append(Write("unlinked", start.name, from_id, to=(end.name, to_id)))


def unlink_all(call: Call) -> Answer:
    start, end = _ends(call)
    for each in many(call, LINK_LIMIT):
        for target in each.get("to") or []:
            _unlink(call, start, end, _end(each, "from"), str(target.get("id", "")))
    return _voided(call)


def unlink_types(call: Call) -> Answer:
    """Take types off; without the unlabelled one no label of the pair stays (DOC)."""
    start, end = _ends(call)
    for each in many(call, LINK_LIMIT):
        from_id, to_id = _end(each, "from"), _end(each, "to")
        gone = read_types(call, start, end, each.get("types"))
        present = call.portal.links.of(start.name, int(from_id), end.name).get(int(to_id), ())
        plain = call.portal.association_types.unlabeled(start, end)
        kept = () if plain in gone else tuple(each for each in present if each not in gone)
        if kept != present:
            call.portal.links.set(start.name, int(from_id), end.name, int(to_id), kept)
            call.portal.writes.append(Write("unlinked", start.name, from_id, to=(end.name, to_id)))
    return _voided(call)


def _voided(call: Call) -> Answer:
    """Answer 204; since 2026-09 200 with a body (OpenAPI files)."""
    if not call.is_dated:
        return Answer(b"", 204)
    return _answer(call, [], [], 200)
