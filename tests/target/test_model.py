"""Whatever comes, in any order, cut and killed anywhere: the tables are those of a plain model.

The model takes one record after the other; the target puts them into batches, copies, merges and
repeats them in half a dozen ways. Both must end in the same rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import os
import signal
from collections import Counter
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_deals_postgres.errors import InputCutError, InputError
from target_deals_postgres.target import TargetDealsPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from psycopg2.extensions import cursor

Record = dict[str, Any]
MOMENT = {"type": ["string", "null"], "format": "date-time"}
DATE = {"type": ["string", "null"], "format": "date"}
SEQUENCES = int(os.environ.get("MODEL_SEQUENCES", "10000"))
PARTS = 8
"""Several processes share the heavy test: a sequence is 160 statements, one after the other."""
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
    """A stream of a sequence: the type of its key, and whether rows are found by it."""

    name: str
    kind: str
    keyed: bool


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Stream], list[Run]]:
    """One or two streams, and what comes in each run."""
    streams = [
        Stream(name, draw(st.sampled_from(sorted(KEYS))), keyed=draw(st.integers(0, 4)) > 0)
        for name in "tu"[: draw(st.integers(1, 2))]
    ]
    hard, lenient = draw(st.booleans()), draw(st.integers(0, 3)) == 0
    all_runs = []
    for _ in range(draw(st.integers(1, 4))):
        messages = [{**draw(schemas()), "stream": one.name} for one in streams]
        if draw(st.booleans()):
            messages += draw(full_reads(streams))
        else:
            messages += draw(mixtures(streams))
        options = {
            "batch_size_rows": draw(st.sampled_from([1, 2, 5, 1000])),
            "hard_delete": hard,
            "lenient_values": lenient,
            "add_record_metadata": draw(st.booleans()),
            **({"stream_maps": {"t": {}}} if draw(st.integers(0, 3)) == 0 else {}),
            "overwrite": draw(st.sampled_from([False, False, False, True, ["t"], ["u*"]])),
        }
        if options["overwrite"] and draw(st.integers(0, 3)):
            messages.append({"type": "STATE", "stream": "t"})
        ends = ["whole", "whole", "torn"] + ["killed"] * 2 * all(one.keyed for one in streams)
        all_runs.append(Run(messages, draw(st.sampled_from(ends)), options))
    return streams, all_runs


@st.composite
def mixtures(draw: st.DrawFn, streams: list[Stream]) -> list[Record]:
    """Anything in any order."""
    versioned = draw(st.booleans())
    messages: list[Record] = []
    for what in draw(st.lists(st.sampled_from(["r"] * 12 + list("ssccvb")), max_size=14)):
        one = draw(st.sampled_from(streams))
        if what == "r":
            message = draw(records(one.kind, versioned=versioned))
        elif what == "s":
            message = {"type": "STATE"}
        elif what == "c":
            message = draw(schemas())
        elif what == "v":
            message = {"type": "ACTIVATE_VERSION", "version": draw(st.integers(1, 3))}
        else:
            several = draw(st.lists(records(one.kind, versioned=False), max_size=3))
            message = {"type": "BATCH", "records": [each["record"] for each in several]}
        messages.append({**message, "stream": one.name})
    return messages


@st.composite
def full_reads(draw: st.DrawFn, streams: list[Stream]) -> list[Record]:
    """What a tap sends that reads everything: mostly the same rows, some gone, some changed."""
    messages: list[Record] = []
    for one in streams:
        version = draw(st.integers(1, 4))
        keys = [(tenant, key) for tenant in "ab" for key in KEYS[one.kind][1]]
        gone = draw(st.sets(st.sampled_from(range(len(keys))), max_size=3))
        for at, (tenant, key) in enumerate(keys):
            if at in gone:
                continue
            record = {"_tenant_id": tenant, "k": draw(st.sampled_from(key)), "s": "as ever"}
            if draw(st.integers(0, 5)) == 0:
                record["d"] = draw(VALUES["d"])
            message = {"type": "RECORD", "record": record, "version": version}
            messages.append({**message, "stream": one.name})
            if draw(st.integers(0, 3)) == 0:
                messages.append({"type": "STATE", "stream": one.name})
        messages.append({"type": "ACTIVATE_VERSION", "version": version, "stream": one.name})
    return messages


@st.composite
def schemas(draw: st.DrawFn) -> Record:
    return {
        "type": "SCHEMA",
        "a": draw(st.sampled_from(["integer", "integer", "number", "string"])),
        "s": draw(st.integers(0, 3)) > 0,
        "mark": draw(st.booleans()),
    }


@st.composite
def records(draw: st.DrawFn, kind: str, *, versioned: bool) -> Record:
    record: Record = {"_tenant_id": draw(st.sampled_from("ab"))}
    record["k"] = draw(st.sampled_from([one for keys in KEYS[kind][1] for one in keys] + [None]))
    if draw(st.integers(0, 30)) == 0:
        del record["k"]
    names = sorted(VALUES) if draw(st.booleans()) else [*"ados"][: draw(st.integers(0, 4))]
    for name in names:
        if name in "ados" or draw(st.booleans()):
            record[name] = draw(VALUES[name])
    if draw(st.integers(0, 5)) == 0:
        record["_sdc_deleted_at"] = draw(st.sampled_from(["2026-01-01T00:00:00Z", None]))
    message: Record = {"type": "RECORD", "record": record}
    if versioned and draw(st.integers(0, 15)):
        message["version"] = draw(st.integers(1, 3))
    return message


# The model


@dataclasses.dataclass
class Row:
    tenant: str
    values: Record = dataclasses.field(default_factory=dict)
    extra: Record = dataclasses.field(default_factory=dict)
    deleted: bool = False


@dataclasses.dataclass
class Model:
    """A stream's table as it should be, and its rejected records."""

    stream: Stream
    hard: bool
    rows: dict[Any, Row] = dataclasses.field(default_factory=dict)
    rejected: list[tuple[str, int | None]] = dataclasses.field(default_factory=list)
    versions: dict[Any, int] = dataclasses.field(default_factory=dict)  # the newest that had a key
    active: dict[str, int] = dataclasses.field(default_factory=dict)
    lenient: bool = False
    nulled: list[str] = dataclasses.field(default_factory=list)  # whose records have such a value
    text: bool = False  # whether the column `a` is text: the first SCHEMA decides
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def run(self, run: Run) -> None:
        """Take in what one run brings; what overwrites does so at the end of a good one."""
        name, overwrite = self.stream.name, run.options["overwrite"]
        if overwrite is not True and not any(fnmatchcase(name, one) for one in overwrite or ()):
            self.take(run.messages)
            return
        rows, versions, known = self.rows, self.versions, len(self.rejected)
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
        if run.end != "whole" or not run.is_complete:
            return
        rejected = {tenant for tenant, _ in self.rejected[known:]}
        whose = {row.tenant for row in new.values()} | (self.written - rejected)
        for key in [key for key, row in rows.items() if row.tenant in whose]:
            del rows[key]
        for key in [key for key in versions if self.stream.keyed and key[0] in whose]:
            del versions[key]
        rows |= new
        versions |= dict.fromkeys(new, 0)

    def take(self, messages: Sequence[Record]) -> None:
        """Take in messages one after the other."""
        self.versionless = False
        self.begun: set[int] = set()
        self.leading: set[int] = set()
        self.written: set[str] = set()
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
        bad = self._unfit(record)
        if bad and (not self.lenient or "k" in bad):
            self.rejected.append((record["_tenant_id"], version))
            return
        if bad:
            self.nulled.append(record["_tenant_id"])
            record = record | dict.fromkeys(bad)
        self.written.add(record["_tenant_id"])
        key: Any = next(self._numbers)
        if self.stream.keyed:
            [at] = [at for at, keys in enumerate(KEYS[self.stream.kind][1]) if record["k"] in keys]
            key = (record["_tenant_id"], at)
        marked = record.get("_sdc_deleted_at") is not None
        row = self.rows.setdefault(key, Row(record["_tenant_id"]))
        declared = {"a", "d", "o", *("s" if self.schema["s"] else "")}
        for name, value in record.items():
            if name in declared:
                row.values[name] = self._stored(name, value)
            elif name in VALUES:
                row.extra[name] = value
        row.deleted = marked
        self.versions[key] = max(self.versions.get(key, 0), version or 0)
        if marked and self.hard and self.stream.keyed:
            del self.rows[key]

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
        spared = {tenant for tenant, of in self.rejected if of == version}
        complete = {
            one for one in self.written - spared if self.active.get(one, version - 1) < version
        }
        self.active |= dict.fromkeys(complete, version)
        for key, row in list(self.rows.items()):
            if row.tenant in complete and self.versions[key] < version:
                row.deleted = True
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
                    row.deleted,
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
        """Run the target; return the number of the newest message whose STATE is out."""
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
        return states[-1] if states else None

    def _message(self, at: int, message: Record) -> Record:
        match message["type"]:
            case "STATE":
                return {"type": "STATE", "value": at}
            case "SCHEMA":
                stream = self._streams[message["stream"]]
                key = KEYS[stream.kind][0]
                properties: Record = {
                    "_tenant_id": {"type": "string"},
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
                    "key_properties": ["_tenant_id", "k"] if stream.keyed else [],
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
            (row["_tenant_id"], self._key(row["k"], stream.kind)) if stream.keyed else None,
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

    def rejected(self, cur: cursor, stream: Stream) -> list[Any]:
        """Whose records were rejected, of which version."""
        cur.execute(
            f"SELECT _tenant_id, version FROM {self._schema}._rejected_records "
            "WHERE stream = %s AND nulled IS NULL",
            (stream.name,),
        )
        return cur.fetchall()

    def nulled(self, cur: cursor, stream: Stream) -> list[str]:
        """Whose records are stored with null for a value that does not fit."""
        cur.execute(
            f"SELECT _tenant_id FROM {self._schema}._rejected_records "
            "WHERE stream = %s AND nulled IS NOT NULL",
            (stream.name,),
        )
        return [tenant for (tenant,) in cur.fetchall()]


def trial(cur: cursor, url: str, folder: Path, sequence: tuple[list[Stream], list[Run]]) -> None:
    """Load a sequence, and compare after each run."""
    streams, all_runs = sequence
    schema = f"m{next(_schemas)}"
    tables = Tables(url, schema, streams, folder)
    first = all_runs[0].options
    models = [
        Model(one, hard=first["hard_delete"], lenient=first["lenient_values"]) for one in streams
    ]
    killed = False
    try:
        for one in all_runs:
            run = one
            if one.end == "killed":
                killed = True
                messages = _before_kill(one.messages)
                done = tables.load(dataclasses.replace(one, messages=messages))
                start = 0 if done is None else done
                for model in models:
                    model.take(messages[:start])
                # The tap goes on where the newest STATE says, and sends each SCHEMA before.
                known = {
                    each["stream"]: each for each in messages[:start] if each["type"] == "SCHEMA"
                }
                rest = [*known.values(), *one.messages[start:]]
                run = dataclasses.replace(one, messages=rest, end="whole")
            tables.load(run)
            for model in models:
                model.run(run)
                assert tables.rows(cur, model.stream) == model.table()
                rejected = tables.rejected(cur, model.stream)
                nulled = tables.nulled(cur, model.stream)
                if killed:  # what comes twice is rejected twice
                    assert set(rejected) == set(model.rejected)
                    assert set(nulled) == set(model.nulled)
                else:
                    assert sorted(rejected, key=repr) == sorted(model.rejected, key=repr)
                    assert sorted(nulled) == sorted(model.nulled)
    finally:
        cur.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def _before_kill(messages: list[Record]) -> list[Record]:
    # An ACTIVATE_VERSION behind the newest STATE may be done or not: only the target knows.
    for at, message in enumerate(messages):
        if message["type"] == "ACTIVATE_VERSION":
            return messages[:at]
    return messages


_schemas = itertools.count()
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


@pytest.fixture
def signals() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def check(url: str, folder: Path, examples: int, *, repeatable: bool) -> None:
    with connect(url) as opened, opened.cursor() as cur:
        cur.execute("SET TimeZone = 'UTC'; SET client_min_messages = warning")

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=repeatable,
            suppress_health_check=QUIET,
        )
        @given(sequence=runs())
        def holds(sequence: tuple[list[Stream], list[Run]]) -> None:
            trial(cur, url, folder, sequence)

        holds()


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("signals")
def test_the_tables_are_those_of_a_plain_model(database_url: str, tmp_path: Path) -> None:
    check(database_url, tmp_path, 300, repeatable=True)


@pytest.mark.heavy
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("_part", range(PARTS))
def test_the_tables_are_those_of_a_plain_model_ten_thousand_times(
    database_url: str, tmp_path: Path, _part: int
) -> None:
    check(database_url, tmp_path, SEQUENCES // PARTS, repeatable=False)
