"""Whether a difference is a fault of the copy, or only what HubSpot did since the last run.

Three witnesses: HubSpot as it is now, the tables, and the state, which knows what went out. What
went out and is not in the tables, or otherwise, is a fault. What did not go out, or changed in
HubSpot since the last run looked, is behind: the next run reads it.

Of a snapshot there is no state. Its rows tell what went out, and of what has no row HubSpot's
modified date: what did not change since the reading began should be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hubspot_client.clock import parse_time
from tap_hubspot_deals.streams.survey import labels_of

from hubspot_verify.findings import Difference
from hubspot_verify.values import MOMENT, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_hubspot_deals.reading.packing import Kind
    from tap_hubspot_deals.streams.survey import LinkLabels, Survey

    from hubspot_verify.shapes import Shape
    from hubspot_verify.tables import LinkRow, Row

LONGEST_ID = 18
MODIFIED = ("hs_lastmodifieddate", "lastmodifieddate")
MARKS = {"archived", "archived_at", "merged_into", "removed_at", "_sdc_deleted_at"}


class Verdict(NamedTuple):
    """What is to be said of one record: a difference, or None where it is only behind."""

    difference: Difference | None
    pair: str | None = None
    """For a link, the object type it leads to."""


BEHIND = Verdict(None)


class Judge:
    """Judges the records of one type.

    Args:
        survey: What HubSpot has, and what went out.
        shape: What is compared.
    """

    def __init__(self, survey: Survey, shape: Shape) -> None:
        self._survey = survey
        self._shape = shape
        self._looked_back = parse_time(survey.looked_back)

    def live(
        self,
        record: Mapping[str, Any],
        links: LinkLabels,
        row: Row | None,
        rows: Mapping[Any, LinkRow],
    ) -> Iterator[Verdict]:
        """What is to be said of a record that HubSpot has.

        Args:
            record: As it would go out now.
            links: Its links.
            row: Its row, if there is one.
            rows: The rows of its links, those of earlier reads too.
        """
        record_id = record["id"]
        went = self._went(record_id, row, record["updated_at"])
        if row is not None and row.copies > 1:
            yield Verdict(Difference("doubled", record_id))
        if row is None:
            yield Verdict(Difference("missing", record_id)) if went == "live" else BEHIND
        elif names := self._shape.differing(record, row):
            yield self._values(record, row, names, went)
        if went != "live":
            return
        if self._survey.tables:
            yield from self._links(record_id, links, row, current(row, rows))
        if row is not None and "associations" in record and not row.marked:
            yield from self._inline(record_id, links, row, current(row, rows))

    def archived(self, record: Mapping[str, Any], row: Row | None) -> Iterator[Verdict]:
        """What is to be said of a record in the recycle bin."""
        record_id = record["id"]
        went = self._went(record_id, row, record["updated_at"])
        if went == "merged":
            return
        if went == "live":  # archived since
            yield BEHIND if row is not None else Verdict(Difference("missing", record_id))
        elif row is None:
            if went is not None:
                yield Verdict(Difference("missing", record_id))
        elif names := self._shape.differing(record, row):
            if went is None and not row.marked:
                yield Verdict(Difference("extra", record_id))
            else:
                yield self._values(record, row, names, went)

    def merged(
        self, record_id: str, survivor: tuple[str, str | None], row: Row | None
    ) -> Iterator[Verdict]:
        """What is to be said of a record that another one took the place of."""
        went = self._went(record_id, row, survivor[1])
        if row is None:
            if went == "merged":
                yield Verdict(Difference("missing", record_id))
            return
        into, modified = survivor
        told = row.values.get("merged_into")
        if told == into:
            return
        if went == "live" or (went is not None and told and self._is_fresh(modified)):
            yield BEHIND  # merged since, or its survivor was
        elif went is not None:
            yield Verdict(Difference("altered", record_id, ("merged_into",)))
        elif not row.marked:
            yield Verdict(Difference("extra", record_id))

    def gone(self, record_id: str, row: Row | None) -> Iterator[Verdict]:
        """What is to be said of an id that HubSpot does not have, or that is not asked for."""
        went = self._went(record_id, row, None) if is_id(record_id) else None
        if went == "merged":  # into a record that is not there any more: no run looks at it again
            if row is None:
                yield Verdict(Difference("missing", record_id))
            elif not row.marked:
                yield Verdict(Difference("altered", record_id, ("merged_into",)))
        elif row is not None and not row.marked:
            yield Verdict(Difference("extra", record_id)) if went is None else BEHIND

    def _values(
        self, record: Mapping[str, Any], row: Row, names: list[str], went: str | None
    ) -> Verdict:
        """A row that has other values than the record."""
        ours, theirs = _moment(row.values.get("updated_at")), _moment(record["updated_at"])
        older = ours is not None and theirs is not None and ours < theirs
        marks = MARKS.intersection(names)
        moved = all(name in names for name in MODIFIED if record.get(name))
        expected = "archived" if record["archived"] else "live"
        if went != expected and (went is not None or older or not marks.isdisjoint(names)):
            return BEHIND  # restored, or new, since
        if older and moved and self._is_fresh(record["updated_at"]) and not marks:
            return BEHIND
        if self._survey.is_snapshot and not older and self._survey.calculated.issuperset(names):
            return BEHIND  # no run will read it again, and HubSpot moves no date
        kind = "stale" if older and moved else "altered"
        return Verdict(Difference(kind, record["id"], tuple(names)))

    def _links(
        self, record_id: str, links: LinkLabels, row: Row | None, rows: Mapping[Any, LinkRow]
    ) -> Iterator[Verdict]:
        """The links of a record against their own rows."""
        own = inline(row) if row is not None else None
        out = self._survey.links_out(int(record_id))
        witness = out if out is not None else own

        def told(kind: str, key: tuple[str, str, str, int], *names: str) -> Verdict:
            return Verdict(Difference(kind, record_id, names, key), key[0])

        for key in links.keys() | rows.keys():
            if key[0] not in self._survey.tables:
                continue
            known = witness is not None and key in witness
            behind = Verdict(None, key[0])
            if key not in rows:
                yield told("missing", key) if known else behind
            elif key not in links:
                yield behind if known or witness is None else told("extra", key)
            elif rows[key].label != links[key]:  # renamed since, if the record itself says the same
                same = own is not None and own.get(key) == rows[key].label
                yield behind if same else told("altered", key, "label")
            if key in rows and rows[key].copies > 1:
                yield told("doubled", key)

    def _inline(
        self, record_id: str, links: LinkLabels, row: Row, rows: Mapping[Any, LinkRow]
    ) -> Iterator[Verdict]:
        """The links of a record against those that its own row tells."""
        own = inline(row)
        if own == links:
            return
        out = self._survey.links_out(int(record_id))
        for key in links.keys() | own.keys():
            if own.get(key, ...) == links.get(key, ...):
                continue
            has_table = key[0] in self._survey.tables
            if key in links and key in own:
                fault = has_table and key in rows and rows[key].label != own[key]
            elif has_table and out is not None:
                fault = (key in out) == (key in links)
            else:
                fault = has_table and (key in rows) == (key in links)
            if fault:
                yield Verdict(Difference("altered", record_id, ("associations",)))
                return
        yield BEHIND

    def _went(self, record_id: str, row: Row | None, modified: str | None) -> Kind | None:
        """What the last message of a record said it is."""
        if not self._survey.is_snapshot:
            return self._survey.went_out_as(int(record_id))
        if row is not None:
            return "archived" if row.marked else "live"
        return None if self._is_fresh(modified) else "live"

    def _is_fresh(self, modified: str | None) -> bool:
        """Whether the next run reads a record again: it changed since the last one looked."""
        moment = _moment(modified)
        return moment is None or moment >= self._looked_back


def current(row: Row | None, rows: Mapping[Any, LinkRow]) -> dict[Any, LinkRow]:
    """The links that are current: read with their record as it is now, or else the latest."""
    there = {key: each for key, each in rows.items() if not each.removed}
    if row is not None and not row.marked:
        return {key: each for key, each in there.items() if each.read_at == row.read_at}
    latest = max((each.read_at or "" for each in there.values()), default="")
    return {key: each for key, each in there.items() if (each.read_at or "") == latest}


def inline(row: Row) -> LinkLabels:
    """The links that a record's own row tells."""
    try:
        return labels_of(row.values.get("associations") or {})
    except (KeyError, TypeError, ValueError, AttributeError):  # something else stands there
        return {}


def is_id(text: str) -> bool:
    """Whether a text can be an id of HubSpot's."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID


def _moment(text: Any) -> datetime | None:
    told = canonical(MOMENT, text)
    try:
        return None if told is None else parse_time(told)
    except ValueError:
        return None
