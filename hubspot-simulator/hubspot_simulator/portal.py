"""A portal: an account whose records and links can be written while it is being read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from hubspot_simulator.credentials import TEST_TOKEN
from hubspot_simulator.histories import BY_HAND, CALCULATED, MERGED
from hubspot_simulator.instants import iso, milliseconds_of
from hubspot_simulator.linking import Id, Linking
from hubspot_simulator.pipelines import STAGE_PROPERTIES, stage_times, stage_values
from hubspot_simulator.record import Record
from hubspot_simulator.scenario import Scenario, populate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubspot_simulator.behaviour import Behaviour
    from hubspot_simulator.histories import Source
    from hubspot_simulator.limits import RateLimits
    from hubspot_simulator.records import Records

Moment = datetime | int | None


class Portal(Linking):
    """One account. Every method may be called while the portal is being read."""

    @classmethod
    def generate(
        cls,
        deals: int = 500,
        *,
        seed: int = 1,
        token: str = TEST_TOKEN,
        portal_id: int | None = None,
        scopes: Iterable[str] | None = None,
        contacts: int | None = None,
        companies: int | None = None,
        contacts_per_deal: int = 2,
        companies_per_deal: int = 1,
        custom_properties: int = 9,
        rotate_types: int = 0,
        odd_values: bool = False,
        same_millisecond: int = 0,
        archived: int = 0,
        counts: Mapping[str, int] | None = None,
        custom_objects: Iterable[str] = (),
        behaviour: Behaviour | None = None,
        limits: RateLimits | None = None,
        time_zone: str = "US/Eastern",
    ) -> Portal:
        """Make a portal from a seed.

        Args:
            deals: How many deals there are.
            seed: What all values follow from.
            token: The access token that reads the portal.
            portal_id: Its hub id; by default one that follows from the seed.
            scopes: What the token may read; by default everything.
            contacts: How many contacts there are; by default about one a deal.
            companies: How many companies there are; by default a fifth of the deals.
            contacts_per_deal: How many contacts nine of ten deals have; every tenth has none.
            companies_per_deal: The same for companies; the first is the primary one.
            custom_properties: How many properties `custom_1`, `custom_2`, ... each type has.
            rotate_types: Shifts the types of the custom properties, so that two portals have
                the same name in two types.
            odd_values: Texts of 65,536 characters, "N/A" in custom numbers, datetimes as epoch
                milliseconds.
            same_millisecond: How many deals, the last ones, changed on one same millisecond.
            archived: How many deals, the first ones, are in the recycle bin.
            counts: How many records of further types there are.
            custom_objects: Names of custom objects to define; `counts` may fill them.
            behaviour: What HubSpot leaves open.
            limits: The rate limits, off by default.
            time_zone: The account's, by its name in the tz database.
        """
        portal = cls(
            token=token,
            portal_id=portal_id or 146_000_000 + seed,
            scopes=scopes,
            behaviour=behaviour,
            limits=limits,
            time_zone=time_zone,
        )
        for name in custom_objects:
            portal.add_object_type(name)
        scenario = Scenario(
            deals=deals,
            seed=seed,
            contacts=contacts,
            companies=companies,
            contacts_per_deal=contacts_per_deal,
            companies_per_deal=companies_per_deal,
            custom_properties=custom_properties,
            rotate_types=rotate_types,
            odd_values=odd_values,
            same_millisecond=same_millisecond,
            counts=dict(counts or {}),
        )
        populate(portal, scenario)
        for object_id in list(islice(portal.records("deals").ids_from(), archived)):
            portal.archive("deals", object_id)
        return portal

    def _existing(self, object_type: str, object_id: Id) -> tuple[Records, Record]:
        records = self.records(object_type)
        record = records.get(int(object_id))
        if record is None:
            raise KeyError(f"{object_type} {object_id} is not there")
        return records, record

    def create(
        self,
        object_type: str,
        properties: Mapping[str, str | None] | None = None,
        *,
        id: Id | None = None,  # noqa: A002 - HubSpot's word
        at: Moment = None,
    ) -> str:
        with self.lock:
            records = self.records(object_type)
            number = records.new_id() if id is None else int(id)
            if number in records.written or records.base.position(number) is not None:
                raise ValueError(f"{object_type} {number} exists or existed")
            moment = self._moment(at)
            values = {"hs_object_id": str(number), records.type.created: iso(moment)}
            values |= (
                {"hs_createdate": iso(moment)} if "hs_createdate" in records.definitions else {}
            )
            record = Record(number, moment, moment, dict(values))
            records.put(self._changed(records, record, properties or {}, moment, moment))
            return str(number)

    def change(
        self,
        object_type: str,
        object_id: Id,
        properties: Mapping[str, str | None],
        *,
        at: Moment = None,
        touch: bool = True,
        source: Source = BY_HAND,
    ) -> None:
        """Write properties; `touch=False` leaves the modified date, as calculated changes do."""
        with self.lock:
            records, record = self._existing(object_type, object_id)
            moment = self._moment(at)
            updated = moment if touch else record.updated_ms
            records.put(self._changed(records, record, properties, updated, moment, source))

    def _changed(
        self,
        records: Records,
        record: Record,
        properties: Mapping[str, str | None],
        updated: int,
        moment: int,
        source: Source = BY_HAND,
    ) -> Record:
        """A record after a write at a moment, its history included."""
        given = {**properties, records.type.modified: iso(updated)}
        records.histories.note(record, given, moment, source)
        values = {**record.properties, **given}
        calculated = self._calculated(records, replace(record, properties=values), properties)
        if calculated:
            records.histories.note(record, calculated, moment, CALCULATED)
        return replace(record, updated_ms=updated, properties={**values, **calculated})

    def _calculated(
        self, records: Records, record: Record, written: Mapping[str, str | None]
    ) -> dict[str, str | None]:
        """What HubSpot calculates when these properties are written."""
        found: dict[str, str | None] = {}
        names = STAGE_PROPERTIES.get(records.type.name)
        if names is None or not written.keys() & set(names):
            return found
        if "dealstage" in written:
            stages = (stage for each in self.pipelines["deals"] for stage in each.stages)
            for stage in stages:
                if stage.id == written["dealstage"]:
                    found |= stage_values(stage)
        if records.type.name in self.stage_properties:
            versions = records.histories.of(record, names[1])
            found |= stage_times([(each.value, each.at) for each in versions])
        return found

    def archive(self, object_type: str, object_id: Id, *, at: Moment = None) -> None:
        """Put a record into the recycle bin; the modified date stays (observed)."""
        with self.lock:
            records, record = self._existing(object_type, object_id)
            moment = self._moment(at)
            records.histories.bin(record.id, moment, archived=True)
            records.put(replace(record, archived_ms=moment))

    def restore(self, object_type: str, object_id: Id, *, at: Moment = None) -> None:
        with self.lock:
            records, record = self._existing(object_type, object_id)
            record = replace(record, archived_ms=None)
            moment = self._moment(at)
            records.histories.bin(record.id, moment, archived=False)
            if self.behaviour.restore_touches_modified:
                record = self._changed(records, record, {}, moment, moment)
            records.put(record)

    def delete(self, object_type: str, object_id: Id) -> None:
        """Delete for good: in no list, not even among the archived."""
        with self.lock:
            records, record = self._existing(object_type, object_id)
            records.histories.end(record, self.clock.now_ms())
            records.deleted.add(record.id)
            records.remove(record.id)

    def merge(self, object_type: str, primary: Id, other: Id, *, at: Moment = None) -> str:
        """Make a new record of two, which are gone then (HubSpot changelog: deal merging)."""
        with self.lock:
            records, first = self._existing(object_type, primary)
            _, second = self._existing(object_type, other)
            inherited = {**second.properties}
            inherited |= {name: value for name, value in first.properties.items() if value}
            # Times in stages are those of a record, and worked out anew.
            inherited = {n: v for n, v in inherited.items() if not n.startswith("hs_v2_")}
            old = [
                each
                for record in (first, second)
                for each in (record.properties.get("hs_merged_object_ids") or "").split(";")
                if each
            ]
            old += [str(first.id), str(second.id)]
            new = records.new_id()
            moment = self._moment(at)
            created = min(first.created_ms, second.created_ms)
            inherited |= {
                "hs_object_id": str(new),
                "hs_merged_object_ids": ";".join(old),
                records.type.created: iso(created),
            }
            merged = Record(new, created, moment, inherited)
            records.histories.begin(new, moment, MERGED)
            names = STAGE_PROPERTIES.get(records.type.name, ())
            stages = {name: inherited[name] for name in names if name in inherited}
            records.put(self._changed(records, merged, stages, moment, moment))
            for each in (first, second):
                records.histories.end(each, moment)
                records.remove(each.id)
                records.merged[each.id] = new
            self.inherit_links(records, new, (first.id, second.id))
            return str(new)

    def _moment(self, at: Moment) -> int:
        return self.clock.now_ms() if at is None else milliseconds_of(at)
