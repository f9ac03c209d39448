"""Creating, changing and archiving records: each input is judged first, then written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubspot_simulator.keys import ADDITIONAL, EMAIL, normal, values_of
from hubspot_simulator.rules import CONDITIONAL_SINCE
from hubspot_simulator.write_log import Write
from hubspot_simulator.writing.failures import Failure, conflict, objects_missing, of_flaws
from hubspot_simulator.writing.links import Spec, read_inline
from hubspot_simulator.writing.values import Flaw, check

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.record import Record
    from hubspot_simulator.records import Records

# Required at create, by HubSpot's guides to the objects: one of each group.
BASICS = {
    "contacts": (("email", "firstname", "lastname"),),
    "companies": (("domain", "name"),),
    "deals": (("dealname",), ("dealstage",)),
    "tickets": (("subject",), ("hs_pipeline_stage",)),
}


@dataclass
class Prepared:
    """One input that may be written."""

    values: dict[str, str | None]
    trace_id: str | None = None
    record: Record | None = None
    specs: list[Spec] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """One input that was written."""

    record: Record
    prepared: Prepared
    is_new: bool


class RecordWriter:
    """Writes the records of one call; inputs of one batch cannot take each other's keys."""

    def __init__(self, call: Call, records: Records) -> None:
        self.call = call
        self.portal = call.portal
        self.records = records
        self._taken: dict[tuple[str, str], int] = {}

    # Judging

    def prepare(
        self,
        properties: dict[str, Any],
        *,
        record: Record | None,
        trace_id: str | None,
        associations: list[Any] | None = None,
    ) -> Prepared:
        """Judge one input.

        Raises:
            Failure: With everything that is wrong with it.
        """
        before = record.properties if record else {}
        checked = check(
            self.portal, self.records, properties, before=before, version=self.call.version
        )
        flaws = checked.flaws or self._rule_flaws(before, checked.values, is_new=record is None)
        if flaws:
            raise of_flaws(flaws)
        specs = read_inline(self.call, self.records.type, associations or [])
        self._take_keys(record, checked.values)
        return Prepared(checked.values, trace_id, record, specs, checked.warnings)

    def _rule_flaws(
        self, before: dict[str, str | None], values: dict[str, str | None], *, is_new: bool
    ) -> list[Flaw]:
        after = before | values
        rules, flaws = self.records.rules, []
        enforced = self.call.is_dated and self.call.version >= CONDITIONAL_SINCE
        if is_new and self.portal.behaviour.requires_basics:
            groups = BASICS.get(self.records.type.name, ())
            flaws += [_missing(each[0]) for each in groups if not any(map(after.get, each))]
        if is_new and enforced:
            wanted = sorted(rules.required_at_create)
            flaws += [_missing(name) for name in wanted if not after.get(name)]
        if enforced:
            for name, because in rules.required_if.items():
                if because in values and after.get(because) and not after.get(name):
                    message = (
                        f"{name} is required because of a conditional property rule "
                        f"based on [{because}]"
                    )
                    flaws.append(Flaw(name, "MISSING_CONDITIONAL_REQUIRED_PROPERTY", message))
        return flaws

    def _take_keys(self, record: Record | None, values: dict[str, str | None]) -> None:
        own = record.id if record else -1 - len(self._taken)
        claims = []
        for name, written in values.items():
            definition = self.records.definitions.get(name)
            is_email = self.records.type.name == "contacts" and name in {EMAIL, ADDITIONAL}
            if not is_email and not (definition and definition.has_unique_value):
                continue
            key = EMAIL if is_email else name
            for value in values_of(key, {key: None, name: written}):
                other = self.records.find_key(key, value)
                holder = other.id if other else self._taken.get((key, value))
                if holder is not None and holder != own:
                    raise self._taken_by(name, holder, is_email=is_email)
                claims.append((key, value))
        self._taken.update(dict.fromkeys(claims, own))

    def _taken_by(self, name: str, holder: int, *, is_email: bool) -> Failure:
        if is_email:
            names_id = self.portal.behaviour.conflict_names_id and holder > 0
            return conflict(self.records.type, holder if names_id else None)
        message = f"A record already has that value of {name}"
        return of_flaws([Flaw(name, "CONFLICTING_UNIQUE_VALUE", message)])

    # Finding

    def by_id(self, object_id: str) -> Record:
        """Find a live record for a batch: merged-away ids are not followed there."""
        found = self.records.get(int(object_id)) if object_id.isdecimal() else None
        if found is None or found.archived_ms is not None:
            raise objects_missing(self.records.type, [object_id])
        return found

    def is_key(self, name: str) -> bool:
        if self.records.type.name == "contacts" and name == EMAIL:
            return self.portal.behaviour.unique_emails
        definition = self.records.definitions.get(name)
        return definition is not None and not definition.archived and definition.has_unique_value

    def keyed(self, name: str, value: str, properties: dict[str, Any]) -> dict[str, Any]:
        """Add the key to the properties of a record that an upsert makes."""
        return {name: normal(name, value), **properties}

    # Writing

    def write(self, prepared: Prepared) -> Done:
        portal, kind, before = self.portal, self.records.type.name, prepared.record
        if before is None:
            filled = {name: value for name, value in prepared.values.items() if value}
            object_id = int(portal.create(kind, filled))
            changed = tuple(sorted(filled))
        else:
            object_id = before.id
            changed = tuple(
                sorted(
                    name
                    for name, value in prepared.values.items()
                    if (value or "") != (before.properties.get(name) or "")
                )
            )
            if changed:
                self._keep_old_address(before, prepared.values)
                portal.change(kind, object_id, prepared.values)
        action = "created" if before is None else "updated"
        portal.writes.append(
            Write(action, kind, str(object_id), prepared.trace_id, changed)  # type: ignore[arg-type]
        )
        for spec in prepared.specs:
            spec.make(self.call, object_id)
        return Done(self.by_id(str(object_id)), prepared, before is None)

    def _keep_old_address(self, before: Record, values: dict[str, str | None]) -> None:
        """Swap where a secondary address becomes the primary one."""
        new, old = values.get(EMAIL), before.properties.get(EMAIL)
        others = list(filter(None, (before.properties.get(ADDITIONAL) or "").split(";")))
        if self.records.type.name == "contacts" and new in others and old:
            kept = [old if each == new else each for each in others]
            values.setdefault(ADDITIONAL, ";".join(kept))

    def archive(self, object_id: int) -> None:
        self.portal.archive(self.records.type.name, object_id)
        self.portal.writes.append(Write("archived", self.records.type.name, str(object_id)))


def _missing(name: str) -> Flaw:
    return Flaw(name, "MISSING_REQUIRED_PROPERTY", f"A value for {name} must be provided")
