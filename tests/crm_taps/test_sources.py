"""What must hold for every source alike, each against its copy."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from crm_taps.errors import SourceError
from harness.vendors.running import load, read, rows
from harness.vendors.sources import LONG_AGO, SOURCES, Source

if TYPE_CHECKING:
    from pathlib import Path

    from harness.singer import Output
    from harness.vendors.sources import Keys


def label(source: Source) -> str:
    return f"{source.name} {source.api}".strip()


each_source = pytest.mark.parametrize("source", SOURCES, ids=label)
PAGES = {
    "callrail": 600,
    "salesrabbit": 2500,
    "arrivy": 1100,
    "leadconduit": 2500,
    "marketsharp": 300,
    "salespro": 1500,
    "five9": 40,
}
"""Enough records for several pages of each."""


def plain(value: Any) -> str:
    return str(value.astimezone(UTC)) if isinstance(value, datetime) else str(value)


def read_keys(output: Output) -> Keys:
    """The keys of what was read, but for the tenant."""
    found: Keys = {}
    for schema in output.of("SCHEMA"):
        stream = schema["stream"]
        properties = schema["schema"]["properties"]
        names = [name for name in schema["key_properties"] if name != "_tenant_id"]
        times = {name for name in names if properties[name].get("format") == "date-time"}
        found[stream] = {
            tuple(
                plain(datetime.fromisoformat(record[n]) if n in times else record[n]) for n in names
            )
            for record in output.records(stream)
        }
    return found


def stored_keys(url: str, tenant: str) -> Keys:
    """The keys of the rows that a tenant has in each table."""
    keys = rows(
        url,
        "select table_name, column_name from information_schema.key_column_usage "
        "where table_schema = 'crm' and table_name not like E'\\\\_%' order by ordinal_position",
    )
    names: dict[str, list[str]] = {}
    for stream, column in keys:
        names.setdefault(stream, []).append(column)
    found: Keys = {}
    for stream, columns in names.items():
        listed = ", ".join(f'"{column}"' for column in columns if column != "_tenant_id")
        told = f"select {listed} from crm.{stream} where _tenant_id = '{tenant}'"
        found[stream] = {tuple(map(plain, row)) for row in rows(url, told)}
    return found


@each_source
def test_the_tables_are_the_source_s_for_each_of_two_tenants_and_stay_so(
    source: Source, tmp_path: Path, database_url: str
) -> None:
    with source.make(30) as acme, source.make(7) as globex:
        ours, theirs = source.config(acme), {**source.config(globex), "tenant_id": "globex"}
        first = load(tmp_path, f"tap-{source.name}", ours, database_url)
        second = load(tmp_path, f"tap-{source.name}", theirs, database_url, state=first.state)
        third = load(tmp_path, f"tap-{source.name}", ours, database_url, state=second.state)

        assert (first.codes, second.codes, third.codes) == ((0, 0), (0, 0), (0, 0))
        assert stored_keys(database_url, "acme") == source.holds(acme, LONG_AGO)
        assert stored_keys(database_url, "globex") == source.holds(globex, LONG_AGO)
    loads = "select created, updated, rejected from crm._loads order by started_at desc limit {}"
    streams = len(source.holds(acme, LONG_AGO))
    assert {(c, r) for c, _, r in rows(database_url, loads.format(streams))} == {(0, 0)}


@each_source
def test_a_dry_run_counts_and_writes_nothing(
    source: Source, tmp_path: Path, database_url: str
) -> None:
    with source.make(30) as vendor:
        config = source.config(vendor)
        dry = load(tmp_path, f"tap-{source.name}", config, database_url, dry_run=True)
        counts = {stream: len(keys) for stream, keys in source.holds(vendor, LONG_AGO).items()}

    assert (dry.codes, dry.state) == ((0, 0), None)
    assert all(f"{s}: {n} processed, {n} created" in dry.log for s, n in counts.items())
    assert rows(database_url, "select count(*) from pg_namespace where nspname = 'crm'") == [(0,)]


@each_source
def test_start_date_leaves_out_what_is_older_where_a_stream_is_read_by_time(source: Source) -> None:
    with source.make(40) as vendor:
        start = source.middle(vendor)
        output = read(source.tap, {**source.config(vendor), "start_date": start.isoformat()})
        everything = source.holds(vendor, LONG_AGO)

        assert read_keys(output) == source.holds(vendor, start)
        if start != LONG_AGO:
            assert read_keys(output) != everything


@each_source
def test_max_records_is_a_sample_of_every_stream_that_keeps_no_bookmark(source: Source) -> None:
    with source.make(40) as vendor:
        output = read(source.tap, {**source.config(vendor), "max_records": 2})
        everything = source.holds(vendor, LONG_AGO)

    found = read_keys(output)
    assert {name: len(keys) for name, keys in found.items()} == {
        name: min(2, len(keys)) for name, keys in everything.items()
    }
    assert all(found[name] <= everything[name] for name in everything)
    assert "replication_key_value" not in str(output.state)


@each_source
def test_a_run_that_is_killed_among_its_pages_loses_nothing(
    source: Source, tmp_path: Path, database_url: str
) -> None:
    with source.make(PAGES[source.name]) as vendor:
        vendor.cap = 70  # of those whose pages may be cut
        config = source.config(vendor)
        vendor.fail("kill", path=source.listed, nth=3)
        killed = load(tmp_path, f"tap-{source.name}", config, database_url, vendor=vendor)
        again = load(tmp_path, f"tap-{source.name}", config, database_url, state=killed.state)

        assert (killed.codes[0], again.codes) == (-signal.SIGKILL, (0, 0))
        assert stored_keys(database_url, "acme") == source.holds(vendor, LONG_AGO)


@pytest.mark.parametrize("source", [s for s in SOURCES if s.name != "salespro"], ids=label)
def test_a_limit_is_waited_for_as_the_source_says_and_else_longer_each_time(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("backoff._sync.time.sleep", waited.append)
    with source.make(5) as vendor:
        vendor.fail(429, headers={"Retry-After": "77"})
        vendor.fail(429, times=2)
        output = read(source.tap, {**source.config(vendor), "retry_wait_seconds": 2})

        assert read_keys(output) == source.holds(vendor, LONG_AGO)
    assert 77 <= waited[0] < 79
    assert [int(seconds) // 2 * 2 for seconds in waited[1:3]] == [4, 8]


@each_source
def test_bad_credentials_end_the_run_with_one_error_that_shows_none(
    source: Source, tmp_path: Path, database_url: str
) -> None:
    secrets = {
        name
        for name, schema in source.tap.config_jsonschema["properties"].items()
        if schema.get("secret") or name == "username"
    }
    with source.make(2) as vendor:
        config = source.config(vendor)
        wrong = {n: "d3JvbmctMTIzNA==" if n in secrets else v for n, v in config.items()}
        ended = load(tmp_path, f"tap-{source.name}", wrong, database_url)

    (error,) = ended.errors
    assert ended.codes == (1, 0)
    assert (error["extra"]["code"], error["extra"]["retryable"]) == ("source_unauthorized", False)
    assert "d3JvbmctMTIzNA" not in ended.log


@each_source
def test_a_bookmark_that_makes_no_sense_is_refused_where_there_is_one(source: Source) -> None:
    with source.make(2) as vendor:
        config = source.config(vendor)
        state = read(source.tap, config).state
        spoiled = 0
        for bookmark in state["bookmarks"].values():
            for partition in bookmark.get("partitions", [bookmark]):
                if "replication_key_value" in partition:
                    partition["replication_key_value"] = "soon"
                    spoiled += 1
        assert bool(spoiled) is (source.name != "five9")
        if spoiled:
            with pytest.raises(SourceError) as raised:
                read(source.tap, config, state=state)
            assert raised.value.code == "state_invalid"


DELETIONS = {
    "marketsharp": lambda vendor: vendor.tables["Leads"].pop(3),
    "salespro": lambda vendor: vendor.data.execute(
        "delete from customer where customer_id = 'customer-3'"
    ),
    "graphql": lambda vendor: vendor.leads.pop(3),
    "leadconduit": lambda vendor: vendor.events.pop(0),
}
"""A record in the middle that the source loses; LeadConduit forgets its oldest."""


@pytest.mark.parametrize(
    "source", [s for s in SOURCES if (s.api or s.name) in DELETIONS], ids=label
)
def test_a_full_refresh_marks_what_is_gone_where_a_source_lists_all(
    source: Source, tmp_path: Path, database_url: str
) -> None:
    forgets = source.name == "leadconduit"
    stream = "customers" if source.name == "salespro" else "leads"
    marked = (
        f"select count(*) filter (where _sdc_deleted_at is not null), count(*) from crm.{stream}"
    )
    with source.make(9) as vendor:
        config = {**source.config(vendor), "emit_activate_version_messages": True}
        first = load(tmp_path, f"tap-{source.name}", config, database_url)
        DELETIONS[source.api or source.name](vendor)
        later = load(tmp_path, f"tap-{source.name}", config, database_url, state=first.state)
        spared = rows(database_url, marked) if not forgets else [(0, 9)]
        since = {**config, "start_date": "2020-01-01"}
        partly = load(tmp_path, f"tap-{source.name}", since, database_url)
        spared += rows(database_url, marked) if not forgets else [(0, 9)]
        anew = load(tmp_path, f"tap-{source.name}", config, database_url)

    assert [run.codes for run in (first, later, partly, anew)] == [(0, 0)] * 4
    assert spared == [(0, 9)] * 2
    if forgets:
        assert rows(database_url, "select count(*) from crm.leads") == [(9,)]
    else:
        assert rows(database_url, marked) == [(1, 9)]
