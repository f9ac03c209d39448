"""The tap as tests run it, what came out, and the tables that a target would make of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tap_hubspot_deals.tap import TapHubspotDeals

from harness.comparison import expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hubspot_simulator import Portal, Simulator, TrueRecord
    from hubspot_simulator.properties import PropertyDefinition

TENANT = "acme"
Message = dict[str, Any]
MESSAGES = msgspec.json.Decoder(Message, float_hook=Decimal)
Row = dict[str, Any]
Key = tuple[Any, ...]
TAP = str(Path(sys.executable).with_name("tap-hubspot-deals"))


def config_for(hubspot: Simulator, **settings: Any) -> dict[str, Any]:
    """The settings that read the simulator's first portal."""
    return {
        "base_url": hubspot.url,
        "access_token": hubspot.portals[0].token,
        "tenant_id": TENANT,
        **settings,
    }


def parse(line: bytes | str) -> Message:
    """One message; numbers keep every digit."""
    return MESSAGES.decode(line)


@dataclass
class Output:
    """What one run of the tap wrote to its standard output."""

    messages: list[Message]
    log: str = ""
    code: int = 0
    content: bytes = b""

    def of(self, kind: str, stream: str | None = None) -> list[Message]:
        """The messages of a type, in order."""
        return [m for m in self.messages if m["type"] == kind and stream in {None, m.get("stream")}]

    def records(self, stream: str = "deals") -> list[Row]:
        """A stream's records, in order."""
        return [m["record"] for m in self.of("RECORD", stream)]

    def ids(self) -> list[str]:
        """The ids of the deals, in order, with repetitions."""
        return [r["id"] for r in self.records()]

    @property
    def state(self) -> dict[str, Any]:
        """The last state; empty where there is none."""
        states = self.of("STATE")
        return states[-1]["value"] if states else {}

    def schema(self, stream: str = "deals") -> dict[str, Any]:
        """A stream's last schema."""
        found: dict[str, Any] = self.of("SCHEMA", stream)[-1]["schema"]
        return found


def read(
    config: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
) -> Output:
    """Run the tap in this process; its errors come out as exceptions."""
    output, failure = tried(config, state=state, catalog=catalog)
    if failure is not None:
        raise failure
    return output


def tried(
    config: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
) -> tuple[Output, Exception | None]:
    """Run the tap in this process: what it wrote, and what ended it before its end."""
    written = io.BytesIO()
    failure: Exception | None = None
    with signals_kept(), contextlib.redirect_stdout(io.TextIOWrapper(written)) as out:
        try:
            tap = TapHubspotDeals(
                config=config,
                state=json.loads(json.dumps(state)) if state else None,
                catalog=json.loads(json.dumps(catalog)) if catalog else None,
            )
            try:
                tap.sync_all()
                tap.check_compared()
            finally:
                tap.finish()
        except Exception as exc:  # noqa: BLE001 - the caller looks at it
            failure = exc
        out.flush()
        content = written.getvalue()
    return output_of(content), failure


def discover(config: dict[str, Any]) -> dict[str, Any]:
    """The tap's catalog."""
    with signals_kept():
        tap = TapHubspotDeals(config=config, setup_mapper=False)
        try:
            catalog: dict[str, Any] = json.loads(json.dumps(tap.catalog_dict))
        finally:
            tap.finish()
    return catalog


def select(catalog: dict[str, Any], stream: str, *names: str, selected: bool) -> None:
    """Select or deselect a stream, or some of its fields (dots lead into objects)."""
    entry = next(s for s in catalog["streams"] if s["tap_stream_id"] == stream)
    crumbs = [
        ["properties", *" properties ".join(name.split(".")).split(" ")] if name else []
        for name in names or ("",)
    ]
    for metadata in entry["metadata"]:
        if metadata["breadcrumb"] in crumbs:
            metadata["metadata"]["selected"] = selected
            crumbs.remove(metadata["breadcrumb"])
    if crumbs:
        raise KeyError(crumbs)


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """The SDK takes the process's signal handlers; the tests want theirs back."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def start(
    folder: Path,
    config: dict[str, Any],
    *arguments: str,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start the tap as a process of its own; the caller reads both of its pipes."""
    command = [TAP, "--config", _file(folder, "config", config), *arguments]
    if state is not None:
        command += ["--state", _file(folder, "state", state)]
    if catalog is not None:
        command += ["--catalog", _file(folder, "catalog", catalog)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )


def run(
    folder: Path, config: dict[str, Any], *arguments: str, timeout: float = 120, **options: Any
) -> Output:
    """Run the tap as a process of its own, to its end."""
    process = start(folder, config, *arguments, **options)
    return finished(process, timeout=timeout)


def finished(process: subprocess.Popen[bytes], *, timeout: float = 120) -> Output:
    """What a started tap wrote, whatever ended it; a line cut short by a kill is left out."""
    try:
        content, log = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return output_of(content, log, process.returncode)


def output_of(content: bytes, log: bytes = b"", code: int = 0) -> Output:
    """What stands in a tap's two pipes."""
    lines = content.splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    return Output([parse(line) for line in whole], log.decode(), code, content)


def _file(folder: Path, name: str, content: Any) -> str:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return str(path)


@dataclass
class Mirror:
    """The tables that a target keeps: upserts by key, fields that do not come stay as they are."""

    tables: dict[str, dict[Key, Row]] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    _keys: dict[str, list[str]] = field(default_factory=dict)
    _versions: dict[str, dict[Key, int | None]] = field(default_factory=dict)

    def take(self, output: Output) -> Output:
        """Take in what a run wrote."""
        for message in output.messages:
            self._take(message)
        return output

    def _take(self, message: Message) -> None:
        if message["type"] == "STATE":
            self.state = message["value"]
            return
        stream = message["stream"]
        if message["type"] == "SCHEMA":
            self._keys[stream] = message["key_properties"]
            return
        if message["type"] == "RECORD":
            table = self.tables.setdefault(stream, {})
            versions = self._versions.setdefault(stream, {})
            key = tuple(message["record"][name] for name in self._keys[stream])
            table[key] = {**table.get(key, {}), **message["record"]}
            versions[key] = message.get("version")
            return
        if stream not in self._keys:
            raise ValueError(f"ACTIVATE_VERSION of {stream} without a SCHEMA")
        for key, version in list(self._versions.get(stream, {}).items()):
            if version != message["version"] and key[0] == TENANT:
                del self.tables[stream][key], self._versions[stream][key]

    def rows(self, stream: str = "deals", tenant: str = TENANT) -> list[Row]:
        """One tenant's rows of a table."""
        return [r for r in self.tables.get(stream, {}).values() if r["_tenant_id"] == tenant]

    def deals(self, tenant: str = TENANT) -> dict[str, Row]:
        """One tenant's deals by id."""
        return {r["id"]: r for r in self.rows("deals", tenant)}

    def live(self, tenant: str = TENANT) -> dict[str, Row]:
        """The deals that neither were archived nor merged away nor removed."""
        deals = self.deals(tenant).items()
        marks = ("archived", "merged_into", "removed_at")
        return {i: r for i, r in deals if not any(r.get(mark) for mark in marks)}

    def links(self, tenant: str = TENANT) -> set[tuple[Any, ...]]:
        """The current links of live deals."""
        live = self.live(tenant)
        rows = [
            r
            for r in self.rows("associations", tenant)
            if r["from_id"] in live and r["read_at"] == live[r["from_id"]]["read_at"]
        ]
        names = ("to_object_type", "from_id", "to_id", "category", "type_id", "label")
        return {tuple(r[n] for n in names) for r in rows}


def true_links(
    portal: Portal, links_to: Sequence[str] = ("contacts", "companies")
) -> set[tuple[Any, ...]]:
    """The portal's own links of live deals, as `Mirror.links` tells them."""
    return {
        (name, t.from_id, t.to_id, t.category, t.type_id, t.label)
        for name in links_to
        for t in portal.true_links("deals", name)
    }


def differences(
    mirror: Mirror,
    portal: Portal,
    *,
    tenant: str = TENANT,
    links_to: Sequence[str] = ("contacts", "companies"),
    all_archived: bool = False,
    only: Iterable[str] | None = None,
) -> list[str]:
    """What the tables say otherwise than the portal; empty when they are equal.

    Args:
        mirror: The tables.
        portal: The truth.
        tenant: Whose rows.
        links_to: The object types whose links were read.
        all_archived: Whether every archived deal has to be there, not only the marked ones.
        only: The properties that were read; all by default.
    """
    truth = portal.truth("deals")
    deals, live = mirror.deals(tenant), mirror.live(tenant)
    definitions = [
        d for d in portal.records("deals").definitions.all() if only is None or d.name in only
    ]
    found = [f"deal {i} is in the tables only" for i in live.keys() - truth.live.keys()]
    found += [f"deal {i} is missing" for i in truth.live.keys() - live.keys()]
    for deal_id in live.keys() & truth.live.keys():
        found += value_differences(live[deal_id], truth.live[deal_id], definitions)
    found += _marker_differences(deals, truth.archived, truth.merged, definitions)
    if all_archived:
        marked = {i for i, r in deals.items() if r.get("archived") and not r.get("merged_into")}
        found += [f"archived deal {i} is missing" for i in truth.archived.keys() - marked]
    true, links = true_links(portal, links_to), mirror.links(tenant)
    found += [f"link {link} is in the tables only" for link in links - true]
    found += [f"link {link} is missing" for link in true - links]
    if links_to and "associations" in next(iter(live.values()), {}):
        inline = {link for row in live.values() for link in inline_links(row)}
        found += [f"`associations` differ in {link}" for link in inline ^ true]
    return found[:20]


def inline_links(row: Row) -> set[tuple[Any, ...]]:
    """The links inside a deal's own record."""
    return {
        (name, row["id"], linked["id"], t["category"], t["type_id"], t["label"])
        for name, all_linked in row["associations"].items()
        for linked in all_linked
        for t in linked["types"]
    }


def _marker_differences(
    deals: dict[str, Row],
    archived: dict[str, TrueRecord],
    merged: dict[str, str],
    definitions: list[PropertyDefinition],
) -> list[str]:
    found = []
    for deal_id, row in deals.items():
        if row.get("merged_into"):
            if merged.get(deal_id) != row["merged_into"]:
                found.append(f"deal {deal_id} is not merged into {row['merged_into']}")
        elif row.get("removed_at"):
            if deal_id in archived:
                found.append(f"deal {deal_id} is not removed but archived")
        elif row.get("archived") and deal_id not in archived:
            found.append(f"deal {deal_id} is not archived")
        elif row.get("archived"):
            found += value_differences(row, archived[deal_id], definitions)
    return found


def value_differences(
    row: Row, true: TrueRecord, definitions: Iterable[PropertyDefinition]
) -> list[str]:
    """Every value of one deal, the text that did not fit its type included."""
    found = []
    for definition in definitions:
        name = definition.name
        text = true.properties.get(name)
        wanted = expected(definition, text)
        has, left = _value(row, definition), (row.get("unparsed_properties") or {}).get(name)
        rest = None
        if wanted is ValueError:
            wanted, rest = None, text
        if (has, left) != (wanted, rest) or isinstance(has, bool) != isinstance(wanted, bool):
            found.append(f"deal {true.id}: {name} is {has!r}, {left!r}, not {wanted!r}, {rest!r}")
    times = (("created_at", true.created_at), ("updated_at", true.updated_at))
    for name, text in (*times, ("archived_at", true.archived_at)):
        if _moment(row[name]) != _moment(text):
            found.append(f"deal {true.id}: {name} is {row[name]}, not {text}")
    if row["archived"] is not true.archived:
        found.append(f"deal {true.id}: archived is {row['archived']}")
    return found


def _value(row: Row, definition: PropertyDefinition) -> Any:
    """A property's value in the record, as Python sees it."""
    name = definition.name
    if name not in (row.get("custom_properties") or ()):
        value = row.get(f"property_{name}", row.get(name))
    else:
        value = row["custom_properties"].get(name)
    if value is None:
        return None
    if definition.type == "date":
        return date.fromisoformat(value)
    if definition.type == "datetime":
        return _moment(value)
    if isinstance(value, float):
        raise TypeError(f"{name} went through a float")
    return value


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Mirroring:
    """A mirror of one simulator's first portal: run by run, in this process."""

    def __init__(self, hubspot: Simulator) -> None:
        self.hubspot = hubspot
        self.portal = hubspot.portals[0]
        self.mirror = Mirror()

    def run(self, *, catalog: dict[str, Any] | None = None, **settings: Any) -> Output:
        """One run, going on from the last state."""
        config = config_for(self.hubspot, **settings)
        return self.mirror.take(read(config, state=self.mirror.state or None, catalog=catalog))

    def differences(self, **options: Any) -> list[str]:
        """What the tables say otherwise than the portal."""
        return differences(self.mirror, self.portal, **options)
