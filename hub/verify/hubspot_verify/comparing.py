"""Compares one type of records: a first look at all, and a second one at what seemed to differ.

The first look takes a while, in which HubSpot goes on. So it only raises suspicions; the second
look asks for the suspects alone, and judges.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.reading.idsets import IdSet

from hubspot_verify.findings import Findings
from hubspot_verify.judging import Judge, current, inline, is_id
from hubspot_verify.shapes import Shape
from hubspot_verify.tables import Row, Table
from hubspot_verify.values import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hubspot_client.client import Client
    from psycopg2.extensions import cursor
    from tap_hubspot_deals.streams.survey import Found, LinkLabels, Survey

    from hubspot_verify.judging import Verdict
    from hubspot_verify.tables import LinkRow

WHOLE = 2**64


class Comparison:
    """Compares the records of one type, and their links.

    Args:
        survey: What HubSpot has, and what went out.
        name: The stream's name, and its table's.
        cur: Of a session in UTC, which sees the tenant's rows.
        schema: Where the tables are.
        scope: Columns that say whose a row is, with their values.
        archived: Whether all archived records are asked for.

    Raises:
        TableError: If a table is not there.
    """

    def __init__(
        self,
        survey: Survey,
        name: str,
        cur: cursor,
        schema: str,
        scope: Mapping[str, str],
        *,
        archived: bool,
    ) -> None:
        self._survey = survey
        self._name = name
        self._shape = Shape(survey.schema, survey.elsewhere)
        self._judge = Judge(survey, self._shape)
        self._table = Table(cur, schema, name, scope)
        self._links = {
            stream: Table(cur, schema, stream, scope)
            for stream in dict.fromkeys(survey.tables.values())
        }
        self._archived = archived
        self._seen = IdSet()
        self._suspects = IdSet()
        self._merged: dict[str, str] = {}
        now = datetime.now(UTC)
        self.records = Findings(name, now)
        self.pairs = {
            to_type: Findings(f"{name}_{to_type}", now, pair=(name, to_type))
            for to_type in survey.tables
        }
        self.faulty = IdSet()
        self.no_ids: list[str] = []

    @property
    def findings(self) -> list[Findings]:
        """What was found: of the records, then of each pair."""
        return [self.records, *self.pairs.values()]

    def run(self, client: Client) -> list[Findings]:
        """Compare all; gives what was found.

        Args:
            client: Counts the requests.

        Raises:
            HubSpotError: If HubSpot does not give what is asked.
        """
        before = sum(client.requests.values())
        for found in self._survey.all():
            self._look(found)
        self._look_for_others()
        self.look_again([*self._suspects])
        for each in self.findings:
            each.finished_at = datetime.now(UTC)
        self.records.requests = sum(client.requests.values()) - before
        return self.findings

    def look_again(self, ids: Sequence[int]) -> None:
        """Judge some records, as HubSpot and the tables have them now."""
        for found in self._survey.again(ids):
            told = [*found.live, *found.archived, *found.merged, *found.gone]
            rows = self._table.rows(told, self._shape.kinds)
            links = self._links_of([*found.live])
            for record_id, record in found.live.items():
                row = rows.get(record_id)
                labels, of_record = found.links[record_id], links.get(record_id, {})
                self.take(record_id, self._judge.live(record, labels, row, of_record))
            for record_id, record in found.archived.items():
                self.take(record_id, self._judge.archived(record, rows.get(record_id)))
            for record_id in found.gone:
                self.take(record_id, self._judge.gone(record_id, rows.get(record_id)))
            others = found.live.keys() | found.archived.keys()
            for record_id, survivor in found.merged.items():
                if record_id not in others:
                    self.take(
                        record_id, self._judge.merged(record_id, survivor, rows.get(record_id))
                    )

    def note_repaired(self, after: Comparison) -> None:
        """Note how much of what differed does not any more.

        Args:
            after: A comparison of the same that has not been run.
        """
        after.look_again([*self.faulty])
        rows = self._table.rows(self.no_ids, self._shape.kinds)
        for record_id in self.no_ids:
            after.take(record_id, self._judge.gone(record_id, rows.get(record_id)))
        for found, left in zip(self.findings, after.findings, strict=True):
            found.repaired = max(0, found.total - left.total)

    def _look(self, found: Found) -> None:
        """Take in a page of what HubSpot has, and note who seems to differ."""
        told = {**found.live, **found.archived}
        rows = self._table.rows([*told], self._shape.kinds)
        links = self._links_of([*found.live])
        self._merged.update((old, into) for old, (into, _) in found.merged.items())
        self._seen.add([int(i) for i in told])
        differing: list[int] = []
        for record_id, record in told.items():
            row, labels = rows.get(record_id), found.links.get(record_id, {})
            if record_id in found.live:
                self._count_links(labels)
            if row is None or row.copies > 1:
                differing.append(int(record_id))
                continue
            ours, theirs = self._shape.both(record, row)
            self.records.digest_hubspot = _sum(self.records.digest_hubspot, record_id, ours)
            self.records.digest_tables = _sum(self.records.digest_tables, record_id, theirs)
            of_record = links.get(record_id, {})
            if ours != theirs or self._seem_other(record, labels, row, of_record):
                differing.append(int(record_id))
        self.records.in_hubspot += len(told)
        self._suspects.add(differing)

    def _seem_other(
        self,
        record: Mapping[str, Any],
        labels: LinkLabels,
        row: Row,
        of_record: Mapping[Any, LinkRow],
    ) -> bool:
        """Whether a live record's links differ from their rows, or from what its own row tells."""
        if record["archived"]:
            return False
        there = current(row, of_record)
        for key in there:
            if key[0] in self.pairs:
                self.pairs[key[0]].in_tables += there[key].copies
        wanted = {key: label for key, label in labels.items() if key[0] in self.pairs}
        if wanted != {key: each.label for key, each in there.items() if key[0] in self.pairs}:
            return True
        if any(each.copies > 1 for each in there.values()):
            return True
        return "associations" in record and inline(row) != labels

    def _look_for_others(self) -> None:
        """Note who stands in the table and was not seen, or went out and does not stand there."""
        there = IdSet()
        for record_id, archived, removed, merged in self._table.scan():
            if not is_id(record_id):
                if not (archived or removed or merged):
                    self.no_ids.append(record_id)
                    self.records.in_tables += 1
                continue
            number = int(record_id)
            there.add([number])
            counts = not removed and not merged and (self._archived or not archived)
            self.records.in_tables += counts
            if number in self._seen or removed:
                continue
            if merged:
                known = self._merged.get(record_id)
                if known != merged and (known or number not in self._survey.held.ids["merged"]):
                    self._suspects.add([number])
            else:
                self._suspects.add([number])
        held = self._survey.held
        for kind in ("archived", "merged"):
            self._suspects.add([i for i in held.ids[kind] if i not in there])
        for record_id in self.no_ids:
            self.take(record_id, self._judge.gone(record_id, Row({}, marked=False, read_at=None)))

    def _links_of(self, ids: Sequence[str]) -> dict[str, dict[Any, LinkRow]]:
        found: dict[str, dict[Any, LinkRow]] = {}
        for table in self._links.values() if ids else ():
            for record_id, links in table.links(self._name, ids).items():
                found.setdefault(record_id, {}).update(links)
        return found

    def _count_links(self, labels: LinkLabels) -> None:
        for key in labels:
            if key[0] in self.pairs:
                self.pairs[key[0]].in_hubspot += 1

    def take(self, record_id: str, verdicts: Iterator[Verdict]) -> None:
        """Take in what was said of a record."""
        for difference, pair in verdicts:
            findings = self.records if pair is None else self.pairs[pair]
            if difference is None:
                findings.behind += 1
                continue
            findings.add(difference)
            if is_id(record_id):
                self.faulty.add([int(record_id)])


def _sum(total: int, record_id: str, values: list[str | None]) -> int:
    return (total + digest((record_id, *values))) % WHOLE
