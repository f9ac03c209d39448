"""Whatever comes, in any order, cut and killed anywhere: the tables are those of a plain model.

The model takes one record after the other; the target puts them into batches, copies, merges and
repeats them in half a dozen ways. Both must end in the same rows, list the same records as
rejected, count alike in `_loads`, and say with a STATE no more and no less than is there.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import itertools
import json
import operator
import os
import signal
from collections import Counter
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions
import pytest
from harness.database import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_deals_postgres.errors import InputCutError, InputError
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence as Several
    from pathlib import Path

    from psycopg2.extensions import cursor

Record = dict[str, Any]
MOMENT = {"type": ["string", "null"], "format": "date-time"}
DATE = {"type": ["string", "null"], "format": "date"}
SEQUENCES = int(os.environ.get("MODEL_SEQUENCES", "10000"))
PARTS = 8
"""Several processes share the heavy test: a sequence is 200 statements, one after the other."""
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"
TEXTS = ["plain", "\\", "tab\there", "line\nbreak", "\\N", "ünï\U0001f600", "", None]
# For each type of key: its schema, and three keys in two spellings each.
KEYS: dict[str, tuple[Record, list[list[Any]]]] = {
    "integer": ({"type": "integer"}, [[1, 1], [2, 2], [3, 3]]),
    "string": ({"type": "string"}, [["a", "a"], ["a\tb\\N", "a\tb\\N"], ["ä'\"\n", "ä'\"\n"]]),
    "number": ({"type": "number"}, [[1, 1.0], [2.5, 2.50], [0, 0.0]]),
    "uuid": (
        {"type": "string", "format": "uuid"},
        [[f"{UUID}{at}", f"{UUID}{at}".upper()] for at in "123"],
    ),
    "date-time": (
        {"type": "string", "format": "date-time"},
        [[f"2026-01-0{at}T00:00:00Z", f"2026-01-0{at}T01:00:00+01:00"] for at in "123"],
    ),
    "boolean": ({"type": "boolean"}, [[True, True], [False, False]]),
    "date": (
        {"type": "string", "format": "date"},
        [["2026-01-31", "2026-01-31"], ["0001-01-01", "0001-01-01"]],
    ),
    "time": (
        {"type": "string", "format": "time"},
        [["08:00:15", "8:00:15"], ["23:59:59", "23:59:59.000"]],
    ),
    "object": ({"type": "object"}, [[{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], [{}, {}]]),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "a": st.sampled_from([0, 7, -3, 2**40, 2**70, 1.5, "text", "7", None]),
    "d": st.sampled_from(["2026-01-31", "2026-02-28", "2026-02-30", "no date", None]),
    "s": st.sampled_from(TEXTS),
    "o": st.sampled_from([{"k": "ü\n"}, {"k": [1, {"z": "\\"}]}, {}, None]),
    "x": st.sampled_from([1, "x", None]),
    "y": st.sampled_from([2, {"z": "\\u0041"}]),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of the target is given, and how it ends."""

    messages: list[Record]
    end: str  # "whole", "torn" in the middle of a line, or "killed"
    options: Record

    @property
    def is_complete(self) -> bool:
        """Whether the tap has said so after all records of the streams that are overwritten."""
        told: dict[str, int] = {}
        came: Counter[str] = Counter()
        schemas: Record = {}
        for message in self.messages:
            name = message["stream"]
            match message["type"]:
                case "SCHEMA" if schemas.get(name) != message:
                    schemas[name], told[name] = message, -1
                case "RECORD":
                    came[name] += 1
                case "BATCH":
                    came[name] += len(message["records"])
                case "STATE":
                    told = {one: came[one] for one in told}
                case "ACTIVATE_VERSION" if came[name]:
                    told[name] = came[name]
        overwrite = self.options["overwrite"]
        return all(
            count == came[name]
            for name, count in told.items()
            if overwrite is True or any(fnmatchcase(name, one) for one in overwrite)
        )


@dataclasses.dataclass(frozen=True)
class Stream:
    """A stream of a sequence: the type of its key, whether rows are found by it or have tenants."""

    name: str
    kind: str
    keyed: bool
    tenanted: bool

    def is_in(self, patterns: Any) -> bool:
        """Whether some names or patterns, or all, mean it."""
        return patterns is True or any(fnmatchcase(self.name, one) for one in patterns or ())

    @property
    def key(self) -> list[str]:
        """Its key properties."""
        return [*(["_tenant_id"] if self.tenanted else []), "k"] if self.keyed else []


@dataclasses.dataclass(frozen=True)
class Sequence:
    """One or two streams, and what comes in each run."""

    streams: list[Stream]
    runs: list[Run]
    fresh: bool  # whether it begins in a new schema and with new sessions


@functools.cache
def one_in(count: int) -> st.SearchStrategy[bool]:
    return st.sampled_from([True] + [False] * (count - 1))


@functools.cache
def up_to(count: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(1, count + 1))


COIN = one_in(2)
KINDS = st.sampled_from(sorted(KEYS))
BATCHES = st.sampled_from([1, 2, 5, 1000])
OVERWRITTEN = st.sampled_from([False, False, False, True, ["t"], ["u*"]])
ENDS = ["whole", "whole", "torn"]
KEYED_ENDS = st.sampled_from([*ENDS, "killed", "killed"])
OTHER_ENDS = st.sampled_from(ENDS)
WHAT = st.lists(st.sampled_from(["r"] * 12 + list("ssccvb")), max_size=14)
GONE = st.sets(st.sampled_from(range(6)), max_size=3)
SPELLINGS = {
    kind: [st.sampled_from(spelled) for spelled in keys] for kind, (_, keys) in KEYS.items()
}
ANY_KEY = {
    kind: st.sampled_from([one for spelled in keys for one in spelled] + [None])
    for kind, (_, keys) in KEYS.items()
}
TENANTS = st.sampled_from("ab")
NUMBERS = st.sampled_from(["integer", "integer", "number", "string"])
FEW = st.sampled_from(range(5))
DELETED = st.sampled_from(["2026-01-01T00:00:00Z", None])


@st.composite
def schemas(draw: st.DrawFn) -> Record:
    return {
        "type": "SCHEMA",
        "a": draw(NUMBERS),
        "s": not draw(one_in(4)),
        "mark": draw(COIN),
    }


@st.composite
def records(draw: st.DrawFn, kind: str, *, versioned: bool, tenanted: bool) -> Record:
    record: Record = {"k": draw(ANY_KEY[kind])}
    if tenanted:
        record["_tenant_id"] = draw(TENANTS)
    if draw(one_in(31)):
        del record["k"]
    names = sorted(VALUES) if draw(COIN) else [*"ados"][: draw(FEW)]
    for name in names:
        if name in "ados" or draw(COIN):
            record[name] = draw(VALUES[name])
    if draw(one_in(6)):
        record["_sdc_deleted_at"] = draw(DELETED)
    message: Record = {"type": "RECORD", "record": record}
    if versioned and not draw(one_in(16)):
        message["version"] = draw(up_to(3))
    return message


SCHEMAS = schemas()
RECORDS = {
    (kind, versioned, tenanted): records(kind, versioned=versioned, tenanted=tenanted)
    for kind in KEYS
    for versioned in (False, True)
    for tenanted in (False, True)
}
BATCHED = {
    (kind, tenanted): st.lists(RECORDS[kind, False, tenanted], max_size=3)
    for kind in KEYS
    for tenanted in (False, True)
}


@st.composite
def mixtures(draw: st.DrawFn, streams: list[Stream]) -> list[Record]:
    """Anything in any order."""
    versioned = draw(COIN)
    messages: list[Record] = []
    for what in draw(WHAT):
        one = streams[0] if len(streams) == 1 or draw(COIN) else streams[1]
        if what == "r":
            message = draw(RECORDS[one.kind, versioned, one.tenanted])
        elif what == "s":
            message = {"type": "STATE"}
        elif what == "c":
            message = draw(SCHEMAS)
        elif what == "v":
            message = {"type": "ACTIVATE_VERSION", "version": draw(up_to(3))}
        else:
            several = draw(BATCHED[one.kind, one.tenanted])
            message = {"type": "BATCH", "records": [each["record"] for each in several]}
        messages.append({**message, "stream": one.name})
    return messages


@st.composite
def full_reads(draw: st.DrawFn, streams: list[Stream]) -> list[Record]:
    """What a tap sends that reads everything: mostly the same rows, some gone, some changed."""
    messages: list[Record] = []
    for one in streams:
        version = draw(up_to(4))
        tenants = [{"_tenant_id": each} for each in "ab"] if one.tenanted else [{}]
        keys = [(whose, spelled) for whose in tenants for spelled in SPELLINGS[one.kind]]
        gone = draw(GONE)
        for at, (whose, spelled) in enumerate(keys):
            if at in gone:
                continue
            record = {**whose, "k": draw(spelled), "s": "as ever"}
            if draw(one_in(6)):
                record["d"] = draw(VALUES["d"])
            message = {"type": "RECORD", "record": record, "version": version}
            messages.append({**message, "stream": one.name})
            if draw(one_in(4)):
                messages.append({"type": "STATE", "stream": one.name})
        messages.append({"type": "ACTIVATE_VERSION", "version": version, "stream": one.name})
    return messages


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    fresh = draw(one_in(10))
    streams = [
        Stream(name, draw(KINDS), keyed=not draw(one_in(5)), tenanted=not draw(one_in(5)))
        for name in "tu"[: draw(up_to(2))]
    ]
    hard, lenient = draw(COIN), draw(one_in(4))
    all_runs = []
    for _ in range(draw(up_to(4))):
        messages = [{**draw(SCHEMAS), "stream": one.name} for one in streams]
        messages += draw(full_reads(streams) if draw(COIN) else mixtures(streams))
        options = {
            "batch_size_rows": draw(BATCHES),
            "hard_delete": hard,
            "lenient_values": lenient,
            "add_record_metadata": draw(COIN),
            **({"stream_maps": {"t": {}}} if draw(one_in(4)) else {}),
            "overwrite": draw(OVERWRITTEN),
        }
        if options["overwrite"] and not draw(one_in(4)):
            messages.append({"type": "STATE", "stream": "t"})
        ends = KEYED_ENDS if all(one.keyed for one in streams) else OTHER_ENDS
        all_runs.append(Run(messages, draw(ends), options))
    return Sequence(streams, all_runs, fresh)


# The model


@dataclasses.dataclass
class Row:
    tenant: str | None
    values: Record = dataclasses.field(default_factory=dict)
    extra: Record = dataclasses.field(default_factory=dict)
    deleted: str = ""  # by what

    @property
    def shown(self) -> Any:
        """What the table has of it."""
        return [self.values.get(name) for name in "asdo"], self.extra, self.deleted


@dataclasses.dataclass
class Counted:
    """What a run's records became, one after the other."""

    processed: int = 0
    created: int = 0
    changed: int = 0
    rejected: int = 0
    nulled: int = 0
    deleted: int = 0
    tenants: set[str] = dataclasses.field(default_factory=set)
    superseded: int | None = None  # where that does not depend on the batches


@dataclasses.dataclass
class Model:
    """A stream's table as it should be, its rejected records, and the counts of its last run."""

    stream: Stream
    hard: bool
    rows: dict[Any, Row] = dataclasses.field(default_factory=dict)
    rejected: list[tuple[str | None, int | None]] = dataclasses.field(default_factory=list)
    versions: dict[Any, int] = dataclasses.field(default_factory=dict)  # the newest that had a key
    active: dict[str | None, int] = dataclasses.field(default_factory=dict)
    lenient: bool = False
    nulled: list[str | None] = dataclasses.field(default_factory=list)  # whose have such a value
    listed: list[list[Any]] = dataclasses.field(default_factory=list)
    """Of the records in both lists: whose, the key, whether later ones tell more, their names, and
    the version."""
    text: bool = False  # whether the column `a` is text: the first SCHEMA decides
    counted: Counted = dataclasses.field(default_factory=Counted)
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def run(self, run: Run) -> None:
        """Take in what one run brings; what overwrites does so at the end of a good one."""
        if not self.stream.is_in(run.options["overwrite"]):
            self.take(run.messages)
            return
        rows, versions = self.rows, self.versions
        self.rows, self.versions = {}, {}
        self.take(
            [
                {name: value for name, value in one.items() if name != "version"}
                for one in run.messages
                if one["type"] != "ACTIVATE_VERSION"
            ]
        )
        new = self.rows
        self.rows, self.versions = rows, versions
        counted = self.counted
        counted.created = counted.changed = counted.deleted = counted.superseded = 0
        if run.end != "whole" or not run.is_complete:
            return
        wrote = {tenant for tenant, _ in self.written}
        whose = {row.tenant for row in new.values()} | (wrote - self.spoiled)
        if not self.stream.tenanted and not self.spoiled:
            whose.add(None)  # the whole table, whatever came
        theirs = {key: row for key, row in rows.items() if row.tenant in whose}
        for key in theirs:
            del rows[key]
        for key in [key for key in versions if self.stream.keyed and key[0] in whose]:
            del versions[key]
        rows |= new
        versions |= dict.fromkeys(new, 0)
        if whose:
            kept = theirs.keys() & new.keys()
            counted.created, counted.deleted = len(new) - len(kept), len(theirs) - len(kept)
            counted.changed = sum(theirs[key].shown != new[key].shown for key in kept)
        counted.superseded = counted.processed - counted.rejected - len(new)

    def take(self, messages: Several[Record]) -> None:
        """Take in messages one after the other."""
        self.versionless = False
        self.begun: set[int] = set()
        self.leading: set[int] = set()
        self.written: set[tuple[str | None, int | None]] = set()
        self.spoiled: set[str | None] = set()
        self.counted = Counted()
        for message in messages:
            if message["stream"] != self.stream.name:
                continue
            match message["type"]:
                case "SCHEMA":
                    if not hasattr(self, "schema"):
                        self.text = message["a"] == "string"
                    self.schema = message
                case "RECORD":
                    self._record(message["record"], message.get("version"))
                case "BATCH":
                    for record in message["records"]:
                        self._record(record, None)
                case "ACTIVATE_VERSION":
                    self._activate(message["version"])

    def _record(self, record: Record, version: int | None) -> None:
        if version is None:
            self.versionless = True
        else:
            self.begun.add(version)
        tenant = record.get("_tenant_id")
        counted = self.counted
        counted.processed += 1
        counted.tenants |= {tenant} if tenant is not None else set()
        bad = self._unfit(record)
        spelled = enumerate(KEYS[self.stream.kind][1] if self.stream.keyed else ())
        key: Any = next(((tenant, at) for at, keys in spelled if record.get("k") in keys), None)
        if bad:
            names = sorted(record.keys() - {"_sdc_deleted_at"})
            self.listed.append([tenant, key, False, names, version])
        if bad and (not self.lenient or "k" in bad):
            self.rejected.append((tenant, version))
            self.spoiled.add(tenant)
            counted.rejected += 1
            return
        if bad:
            self.nulled.append(tenant)
            counted.nulled += 1
            record = record | dict.fromkeys(bad)
        self.written.add((tenant, version))
        for one in self.listed if self.stream.keyed and not bad else ():
            one[2] |= one[1] == key
        key = key or next(self._numbers)
        marked = record.get("_sdc_deleted_at") is not None
        is_new = key not in self.rows
        row = self.rows.setdefault(key, Row(tenant))
        before = copy.deepcopy(row.shown)
        declared = {"a", "d", "o", *("s" if self.schema["s"] else "")}
        for name, value in record.items():
            if name in declared:
                row.values[name] = self._stored(name, value)
            elif name in VALUES:
                row.extra[name] = value
        row.deleted = "record" if marked else ""
        counted.created += is_new
        counted.changed += not is_new and row.shown != before
        self.versions[key] = max(self.versions.get(key, 0), version or 0)
        if marked and self.hard and self.stream.keyed:
            del self.rows[key]
            counted.deleted += 1

    def _unfit(self, record: Record) -> set[str]:
        # The properties whose values do not fit.
        bad = set()
        if self.stream.keyed and record.get("k") is None:
            bad.add("k")
        if record.get("d") in {"2026-02-30", "no date"}:
            bad.add("d")
        a, type_ = record.get("a"), self.schema["a"]
        if type_ == "string":
            fits = isinstance(a, str)
        else:
            fits = not (isinstance(a, str) or (type_ == "integer" and isinstance(a, float)))
        if a is not None and not fits:
            bad.add("a")
        return bad

    def _stored(self, name: str, value: Any) -> Any:
        if name != "a" or value is None:
            return value
        if self.text or isinstance(value, str):
            return str(value)
        return Decimal(str(value))

    def _activate(self, version: int) -> None:
        if self.versionless:
            return
        if version in self.leading or version not in self.begun:
            self.leading.add(version)
            return
        whole = {tenant for tenant, of in self.written if of == version}
        whole -= {tenant for tenant, of in self.rejected if of == version}
        complete = {one for one in whole if self.active.get(one, version - 1) < version}
        self.active |= dict.fromkeys(complete, version)
        for one in self.listed:  # of which the source has what came now, if anything
            one[2] |= one[0] in whole and (one[4] is None or one[4] < version)
        for key, row in list(self.rows.items()):
            if row.tenant in complete and self.versions[key] < version:
                self.counted.deleted += self.hard or not row.deleted
                row.deleted = row.deleted or "version"
                if self.hard:
                    del self.rows[key]

    def table(self) -> list[Any]:
        """The rows in an order of their own."""
        return sorted(
            (
                [
                    key if self.stream.keyed else None,
                    [row.values.get(name) for name in "asdo"],
                    row.extra,
                    bool(row.deleted),
                ]
                for key, row in self.rows.items()
            ),
            key=repr,
        )


# The target


class Killed(BaseException):
    """What ends a run in the middle."""


class Lines:
    """The input of a run; what is killed ends with an exception, and commits nothing more."""

    def __init__(self, lines: list[str], end: str) -> None:
        self._lines = lines
        self._end = end

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            yield f"{line}\n"
        if self._end == "torn":
            yield '{"type": "RECORD", "stream": "t", "rec'
        if self._end == "killed":
            raise Killed


class Tables:
    """One schema of the database, filled by runs of the target."""

    def __init__(self, url: str, schema: str, streams: list[Stream], folder: Path) -> None:
        self._url, self._schema, self._folder = url, schema, folder
        self._streams = {one.name: one for one in streams}

    def load(self, run: Run) -> int | None:
        """Run the target; return the number of the newest message whose STATE is out.

        That is the newest STATE, except where the run was killed or was to overwrite and did not.
        """
        lines = [json.dumps(self._message(at, one)) for at, one in enumerate(run.messages)]
        config = {
            "database_url": self._url,
            "default_target_schema": self._schema,
            "max_rejected_records": -1,
            "batch_seconds": 3600,
            **run.options,
        }
        with contextlib.redirect_stdout(io.StringIO()) as out:
            target = TargetDealsPostgres(config=config)
            try:
                target.listen(Lines(lines, run.end))  # type: ignore[arg-type]
            except (Killed, InputError) as error:
                is_cut = isinstance(error, InputCutError)
                assert is_cut == (run.end == "whole")
                assert not is_cut or not run.is_complete
                target.run.abandon()
        states = [json.loads(line) for line in out.getvalue().splitlines()]
        assert states == sorted(states)
        done: int | None = states[-1] if states else None
        sent = [at for at, one in enumerate(run.messages) if one["type"] == "STATE"]
        if self.holds(run) and not (run.end == "whole" and run.is_complete):
            assert states == []
        elif run.end != "killed":
            assert done == max(sent, default=None)
        return done

    def holds(self, run: Run) -> bool:
        """Whether STATEs of a run wait for its end."""
        return any(one.is_in(run.options["overwrite"]) for one in self._streams.values())

    def _message(self, at: int, message: Record) -> Record:
        match message["type"]:
            case "STATE":
                return {"type": "STATE", "value": at}
            case "SCHEMA":
                stream = self._streams[message["stream"]]
                key = KEYS[stream.kind][0]
                properties: Record = {
                    **({"_tenant_id": {"type": "string"}} if stream.tenanted else {}),
                    "k": key | {"type": [key["type"], "null"]},
                    "a": {"type": [message["a"], "null"]},
                    "d": DATE,
                    "o": {"type": ["object", "null"]},
                }
                properties |= {"s": {"type": ["string", "null"]}} if message["s"] else {}
                properties |= {"_sdc_deleted_at": MOMENT} if message["mark"] else {}
                return {
                    "type": "SCHEMA",
                    "stream": stream.name,
                    "schema": {"properties": properties},
                    "key_properties": stream.key,
                }
            case "BATCH":
                path = self._folder / f"{self._schema}-{at}.jsonl"
                path.write_text("".join(f"{json.dumps(one)}\n" for one in message["records"]))
                return {
                    "type": "BATCH",
                    "stream": message["stream"],
                    "encoding": {"format": "jsonl"},
                    "manifest": [f"file://{path}"],
                }
            case _:
                return message

    def rows(self, cur: cursor, stream: Stream) -> list[Any]:
        """The rows as the model tells them."""
        cur.execute(f"SELECT to_jsonb(t)::text FROM {self._schema}.{stream.name} AS t")
        found = [json.loads(text, parse_float=Decimal) for (text,) in cur.fetchall()]
        return sorted((self._row(one, stream) for one in found), key=repr)

    def _row(self, row: Record, stream: Stream) -> Any:
        a = [value for name, value in row.items() if name.split("__")[0] == "a"]
        held = [value for value in a if value is not None]
        assert len(held) <= 1, "a property has two values"
        value = held[0] if held else None
        return [
            (row.get("_tenant_id"), self._key(row["k"], stream.kind)) if stream.keyed else None,
            [
                Decimal(value) if isinstance(value, int) else value,
                row.get("s"),
                row["d"],
                row["o"],
            ],
            row.get("_extra") or {},
            row.get("_sdc_deleted_at") is not None,
        ]

    @staticmethod
    def _key(value: Any, kind: str) -> int:
        if kind == "date-time":
            value = value.replace("+00:00", "Z")
        [at] = [at for at, keys in enumerate(KEYS[kind][1]) if value in keys]
        return at

    def listed(self, cur: cursor) -> dict[str, tuple[list[Any], list[str], list[Any]]]:
        """Whose records of each stream were rejected, of which version; whose have a null.

        And whose of both a later one has overtaken, and what they had.
        """
        found: dict[str, tuple[list[Any], list[str], list[Any]]]
        found = {one: ([], [], []) for one in self._streams}
        cur.execute(
            "SELECT stream, _tenant_id, version, nulled IS NULL, overtaken IS NOT NULL, payload "
            f"FROM {self._schema}._rejected_records"
        )
        for stream, tenant, version, is_rejected, is_overtaken, payload in cur.fetchall():
            rejected, nulled, listed = found[stream]
            names = json.loads(payload).keys() - {"_sdc_deleted_at"}
            listed.append((tenant, is_overtaken, sorted(names)))
            if is_rejected:
                rejected.append((tenant, version))
            else:
                nulled.append(tenant)
        return found

    def loads(self, cur: cursor) -> dict[str, list[Record]]:
        """What `_loads` says of each stream, the last run first."""
        found: dict[str, list[Record]] = {one: [] for one in self._streams}
        cur.execute(
            f"SELECT stream, to_jsonb(l) FROM {self._schema}._loads AS l ORDER BY started_at DESC"
        )
        for stream, load in cur.fetchall():
            found[stream].append(load)
        return found


class Place:
    """Where sequences take place, one after the other: a schema, and sessions for its runs.

    A schema is emptied and a session is reset between runs, as poolers of sessions do: both are
    half of a sequence's time when they are new, which one in ten sequences asks for.
    """

    def __init__(self, cur: cursor, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cur = cur
        self._names = itertools.count()
        self._free: list[_Session] = []
        self._connect = psycopg2.connect
        self.schema = ""
        monkeypatch.setattr(psycopg2, "connect", self._open)

    def prepare(self, *, fresh: bool) -> None:
        """Let nothing be there of the sequence before."""
        if fresh or not self.schema:
            self.leave()
            self.schema = f"m{next(self._names)}"
            return
        self._cur.execute(
            "SELECT relname FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = to_regnamespace(%s)",
            (self.schema,),
        )
        for (name,) in self._cur.fetchall():
            what = "DELETE FROM" if name.startswith("_") else "DROP TABLE"
            self._cur.execute(f"{what} {self.schema}.{name}")

    def leave(self) -> None:
        """Remove the schema and end the sessions."""
        if self.schema:
            self._cur.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")
        while self._free:
            self._free.pop().end()

    def _open(self, dsn: str, *_: object, **options: Any) -> _Session:
        if self._free:
            return self._free.pop()
        opened: _Session = self._connect(dsn, connection_factory=_Session, **options)
        opened.free = self._free
        return opened


class _Session(psycopg2.extensions.connection):
    """A session that is reset when it is closed: it has nothing of the run before."""

    free: list[_Session]

    def close(self) -> None:
        if not self.closed:
            self.rollback()
            self.autocommit = True
            with self.cursor() as cur:
                cur.execute("DISCARD ALL")
            self.autocommit = False
            self.free.append(self)

    def end(self) -> None:
        super().close()


def trial(cur: cursor, url: str, folder: Path, place: Place, sequence: Sequence) -> None:
    """Load a sequence, and compare after each run."""
    place.prepare(fresh=sequence.fresh)
    tables = Tables(url, place.schema, sequence.streams, folder)
    first = sequence.runs[0].options
    models = [
        Model(one, hard=first["hard_delete"], lenient=first["lenient_values"])
        for one in sequence.streams
    ]
    killed = overwritten = False
    lost: dict[str, list[int]] = {}  # how many records of killed runs are stored at least
    for one in sequence.runs:
        run = one
        overwritten |= bool(one.options["overwrite"])
        if one.end == "killed":
            killed = True
            messages = _before_kill(one.messages)
            done = tables.load(dataclasses.replace(one, messages=messages))
            start = 0 if done is None else done
            for model in models:
                model.take(messages[:start])
                lost.setdefault(model.stream.name, []).append(model.counted.processed)
            # The tap goes on where the newest STATE says, and sends each SCHEMA before.
            known = {each["stream"]: each for each in messages[:start] if each["type"] == "SCHEMA"}
            rest = [*known.values(), *one.messages[start:]]
            run = dataclasses.replace(one, messages=rest, end="whole")
        tables.load(run)
        listed, loads = tables.listed(cur), tables.loads(cur)
        for model in models:
            model.run(run)
            told, *others = loads[model.stream.name]
            _compare(told, model, run, is_held=tables.holds(run), is_again=one.end == "killed")
            before = [each["processed"] for each in reversed(others) if each["state"] == "lost"]
            least = lost.get(model.stream.name, [])
            assert all(map(operator.ge, before, least))
            assert len(before) == len(least)
            assert "running" not in {each["state"] for each in others}
            assert tables.rows(cur, model.stream) == model.table()
            rejected, nulled, overtaken = listed[model.stream.name]
            if killed:  # what comes twice is rejected twice
                assert set(rejected) == set(model.rejected)
                assert set(nulled) == set(model.nulled)
            else:
                assert sorted(rejected, key=repr) == sorted(model.rejected, key=repr)
                assert sorted(nulled, key=repr) == sorted(model.nulled, key=repr)
            if not killed and not overwritten:  # which overtakes all that was listed before
                wanted = [(whose, it, names) for whose, _, it, names, _ in model.listed]
                assert sorted(overtaken, key=repr) == sorted(wanted, key=repr)


def _compare(told: Record, model: Model, run: Run, *, is_held: bool, is_again: bool) -> None:
    # What `_loads` says of a run, and what became of its records one by one.
    counted, stream = model.counted, model.stream
    is_overwritten = stream.is_in(run.options["overwrite"])
    for name in ("processed", "rejected", "nulled", "deleted"):
        assert told[name] == getattr(counted, name), name
    tenants = sorted(counted.tenants)
    assert (told["tenants"], told["_tenant_id"]) == (
        tenants,
        tenants[0] if len(tenants) == 1 else None,
    )
    end: tuple[str, str | None] = ("completed", None)
    if run.end == "torn":
        end = ("failed", "input_invalid")
    elif is_held and not run.is_complete:
        end = ("failed", "input_cut")
    assert (told["state"], told["code"]) == end
    assert told["finished_at"] is not None
    assert min(told["updated"], told["unchanged"], told["superseded"]) >= 0
    if is_again:  # the run that was killed may have stored some of it
        return
    assert told["created"] == counted.created
    if is_overwritten:  # what earlier runs left beside the records' own columns goes, too
        assert told["updated"] >= counted.changed
        assert told["superseded"] == counted.superseded
        return
    # Records of one batch that are one row are written once, or not at all.
    assert told["updated"] <= counted.changed
    if run.options["batch_size_rows"] == 1:
        assert (told["updated"], told["superseded"]) == (counted.changed, 0)


def _before_kill(messages: list[Record]) -> list[Record]:
    # An ACTIVATE_VERSION behind the newest STATE may be done or not: only the target knows.
    for at, message in enumerate(messages):
        if message["type"] == "ACTIVATE_VERSION":
            return messages[:at]
    return messages


QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@pytest.fixture
def signals() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def check(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, examples: int, *, repeatable: bool
) -> None:
    with connect(url) as opened, opened.cursor() as cur:
        cur.execute("SET TimeZone = 'UTC'; SET client_min_messages = warning")
        place = Place(cur, monkeypatch)

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=repeatable,
            suppress_health_check=QUIET,
        )
        @given(sequence=sequences())
        def holds(sequence: Sequence) -> None:
            trial(cur, url, folder, place, sequence)

        try:
            holds()
        finally:
            place.leave()


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("signals")
def test_the_tables_are_those_of_a_plain_model(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(database_url, tmp_path, monkeypatch, 300, repeatable=True)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("_part", range(PARTS))
def test_the_tables_are_those_of_a_plain_model_ten_thousand_times(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _part: int
) -> None:
    check(database_url, tmp_path, monkeypatch, SEQUENCES // PARTS, repeatable=False)
