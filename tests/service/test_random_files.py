"""Whatever an account holds, every form of file gives it back: random names, types and values."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from hubspot_simulator import Portal, Simulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape
from pyarrow import parquet
from service.kit import TOKEN
from service.processes import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A text that does not fit the type of its property.
UNFIT = object()
LIST = "enumeration"
# What a spreadsheet, XML, CSV or SQL might take for something else; our own headings.
ODD_TEXTS = [
    "", " ", "  two before, two after  ", "0", "007", "1E5", "1-2", "true", "null", "NULL", "\\N",
    "\\.", "'quoted'", "''", '"', '"a","b"', "a,b;c\td", "one\r\ntwo\rthree\nfour", "\n", "\r",
    "\t=1", "=1+1", "+4930123456", "-5.00", "-x", "@SUM(A1)", "x;=cmd|' /C calc'!A0", "\uff1d1+1",
    "_x000D_", "_x0041_", "_x005F_x0041_", "_x000d_", "\x01\x07\x0b\x1f\x7f\x85", "\ufffe\uffff",
    "\u200e\u202emarks\u202c", "\u2028\u2029", "\U0001f389" * 9, "e\u0301", '{"a": 1}', "[1, 2]",
    "2025-02-28", "2025-02-28T00:00:00Z", "%s %(x)s {0}", "<b>&amp;</b>", "]]>", "9" * 40, "\ufeff",
]  # fmt: skip
ODD_NAMES = [
    "deal_id", "archived", "property_archived", "custom_archived", "custom_custom_archived",
    "extracted_at", "contacts", "associated_contacts", "is_closed", "id", "read_at", "properties",
    "unparsed_properties", "custom_properties", "merged_into", "null", "select", "a" * 100,
    "a" * 99 + "b",
]  # fmt: skip
TEXTS = st.sampled_from(ODD_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
)
NUMBERS = st.decimals(-(10**30), 10**30) | st.sampled_from([
    *map(Decimal, ("0", "-0", "1.50", "0.1", "1E+400", "1E-400", "123456789012345", "1E+15")),
    Decimal(1234567890123456), Decimal("99999999999999999999999999999.123456789"),
    Decimal("1." + "0" * 60), Decimal("0." + "0" * 60), Decimal("1E-40"),
])  # fmt: skip
DAYS = st.dates(min_value=date(1, 1, 2), max_value=date(9999, 12, 30))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5.75))])


def of_moment(moment: datetime) -> str:
    """How HubSpot writes a time: with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


MOMENTS = st.builds(
    lambda day, hour, milliseconds, zone: (
        datetime.combine(day, time(hour), zone) + timedelta(milliseconds=milliseconds)
    ),
    DAYS, st.integers(6, 17), st.just(0) | st.integers(0, 3_599_999), ZONES,
)  # fmt: skip


def told(unfit: list[str]) -> st.SearchStrategy[tuple[str | None, Any]]:
    return st.just((None, None)) | st.sampled_from(unfit).map(lambda text: (text, UNFIT))


# By type: HubSpot's text, and what it means.
VALUES: dict[str, st.SearchStrategy[tuple[str | None, Any]]] = {
    "string": TEXTS.map(lambda text: (text, text)) | st.just((None, None)),
    "number": NUMBERS.map(lambda number: (str(number), number)) | told(["N/A", "NaN", "1,5", "="]),
    "bool": st.sampled_from([("true", True), ("false", False)]) | told(["yes", "1"]),
    "date": DAYS.map(lambda day: (day.isoformat(), day))
    | told(["20260-01-01", "2025-02-30", "2025-W09-5"]),
    "datetime": MOMENTS.map(lambda moment: (of_moment(moment), moment))
    | told(["20231-01-01T00:00:00Z", "2025-13-45T99:00:00.5Z", "2025-W09-5T10:00:00Z"]),
    LIST: st.lists(
        TEXTS.map(lambda text: text.replace(";", "") or "x"), min_size=1, max_size=3
    ).map(lambda options: (";".join(options), options))
    | st.just((None, None)),
}


@dataclass(frozen=True)
class Property:
    """One of the account."""

    name: str
    type: str
    is_hubspots: bool


PROPERTIES = st.lists(
    st.builds(
        Property,
        st.sampled_from(ODD_NAMES) | st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
        st.sampled_from([*VALUES]),
        st.booleans(),
    ),
    min_size=1, max_size=25, unique_by=lambda one: one.name,
)  # fmt: skip


def new_portal() -> Portal:
    return Portal.generate(0, token=TOKEN, custom_properties=0)


KNOWN = {each.name for each in new_portal().records("deals").definitions.all()}


@st.composite
def accounts(draw: st.DrawFn) -> tuple[list[Property], list[dict[str, tuple[str | None, Any]]]]:
    """Properties, and records with a value of each."""
    properties = [each for each in draw(PROPERTIES) if each.name not in KNOWN]
    one = st.fixed_dictionaries({each.name: VALUES[each.type] for each in properties})
    return properties, draw(st.lists(one, max_size=12))


@pytest.fixture(scope="module")
def hubspot() -> Iterator[Simulator]:
    with Simulator([new_portal()], latency_ms=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def service(
    postgres_server: str, hubspot: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    installation = Installation.fresh(
        postgres_server, tmp_path_factory.mktemp("random"), hubspot.url,
        requests_per_minute=6000, burst=6000,
    )  # fmt: skip
    try:
        installation.serve()
        installation.work()
        yield installation
    finally:
        installation.stop()


NUMBER = count()


QUIET = [
    HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture,
]  # fmt: skip
Account = tuple[list[Property], list[dict[str, tuple[str | None, Any]]]]


@given(accounts())
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=QUIET)
@pytest.mark.timeout(600)
def test_every_form_gives_back_what_hubspot_has(
    service: Installation, hubspot: Simulator, account: Account
) -> None:
    check(service, hubspot, account)


@given(accounts())
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
@pytest.mark.timeout(3600)
@pytest.mark.heavy
def test_every_form_gives_back_what_hubspot_has_a_hundred_times(
    service: Installation, hubspot: Simulator, account: Account
) -> None:
    check(service, hubspot, account)


def check(service: Installation, hubspot: Simulator, account: Account) -> None:
    properties, records = account
    portal = new_portal()
    for each in properties:
        portal.add_property(
            "deals", each.name, each.type, hubspot_defined=each.is_hubspots,
            field_type="checkbox" if each.type == LIST else "",
        )  # fmt: skip
    truth = {
        portal.create("deals", {name: text for name, (text, _) in record.items()}): record
        for record in records
    }
    hubspot.portals[0] = portal
    scan = f"random-{next(NUMBER)}"
    service.start(scan, associations=["contacts"])
    status = service.finished(scan)
    assert status["status"] == "completed", status["errors"]

    files = {
        form: service.ask("GET", f"/api/v1/scan/download/{scan}/{form}?include_associations=true")
        for form in ("json", "ndjson", "csv", "excel", "parquet")
    }
    assert all(file.status_code == 200 for file in files.values())
    check_json(files["json"].content, properties, truth)
    assert [exact(line) for line in files["ndjson"].content.split(b"\n") if line] == exact(
        files["json"].content
    )
    filled = {name for record in records for name, (text, _) in record.items() if text is not None}
    for form, rows in (
        ("csv", read_csv(files["csv"].content)),
        ("excel", read_excel(files["excel"].content)),
        ("parquet", parquet.read_table(io.BytesIO(files["parquet"].content)).to_pylist()),
    ):
        assert {row["deal_id"] for row in rows} == {*truth}, form
        for row in rows:
            check_row(form, row, properties, truth[row["deal_id"]], filled)


def exact(text: bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


Truth = dict[str, dict[str, tuple[str | None, Any]]]


def check_json(content: bytes, properties: list[Property], truth: Truth) -> None:
    found = {deal["dealId"]: deal for deal in exact(content)}
    assert found.keys() == truth.keys()
    for deal_id, deal in found.items():
        record = truth[deal_id]
        for of, is_hubspots in (("properties", True), ("customProperties", False)):
            shown = {each.name: deal[of][each.name] for each in properties if each.name in deal[of]}
            expected = {
                each.name: record[each.name][1] for each in properties
                if each.is_hubspots is is_hubspots and record[each.name][1] not in (None, UNFIT)
            }  # fmt: skip
            assert {n: _typed(v, expected.get(n)) for n, v in shown.items()} == expected
        unfit = {name: text for name, (text, meaning) in record.items() if meaning is UNFIT}
        assert (deal["unparsedProperties"] or {}) == unfit


def _typed(shown: Any, expected: Any) -> Any:
    """A value of JSON as what is expected of it, if it can be that."""
    if isinstance(expected, datetime):
        return datetime.fromisoformat(shown)
    return date.fromisoformat(shown) if isinstance(expected, date) else shown


def read_csv(content: bytes) -> list[dict[str, Any]]:
    text = content.decode()
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len({*head}) == len(head)
    return [dict(zip(head, row, strict=True)) for row in rows]


def read_excel(content: bytes) -> list[dict[str, Any]]:
    sheet = openpyxl.load_workbook(io.BytesIO(content))["deals"]
    head, *rows = sheet.iter_rows(values_only=True)
    return [
        {
            str(name): unescape(cell) if isinstance(cell, str) else cell
            for name, cell in zip(head, row, strict=True)
        }
        for row in rows
    ]


def check_row(
    form: str,
    row: Mapping[str, Any],
    properties: list[Property],
    record: dict[str, tuple[str | None, Any]],
    filled: set[str],
) -> None:
    for one in properties:
        text, meaning = record[one.name]
        heading = heading_of(one, filled)
        assert (heading in row) == (one.name in filled), (form, heading, [*row])
        expected = text if meaning is UNFIT else meaning
        cell = row.get(heading)
        assert cell is None or same(form, cell, expected), (form, one, cell, expected)
        assert cell is not None or expected is None or (form, expected) == ("excel", "")


FIRST = frozenset({
    "deal_id", "dealname", "amount", "closedate", "dealstage", "pipeline", "hubspot_owner_id",
    "is_closed_won", "extracted_at", "is_closed", "deal_stage_probability", "createdate",
    "lastmodifieddate", "archived",
})  # fmt: skip


def heading_of(one: Property, filled: set[str]) -> str:
    """A property's heading: its name, unless we need that one ourselves; never another's name."""
    ours = {*FIRST, *(() if one.is_hubspots else ("contacts",))}
    heading = one.name
    while heading in ours or (heading != one.name and heading in filled):
        heading = ("property_" if one.is_hubspots else "custom_") + heading
    return heading


def same(form: str, cell: Any, expected: Any) -> bool:
    """Whether a cell says a value."""
    if form == "csv":
        return same_in_csv(cell, expected)
    if isinstance(expected, list) and form == "excel":
        expected = ";".join(expected)
    if isinstance(cell, str) and not isinstance(expected, str):
        return bool(read(cell, expected) == expected)  # what no type of the form holds is text
    if isinstance(expected, bool) or isinstance(cell, bool):
        return cell is expected
    if isinstance(expected, datetime):
        cell = cell if cell.tzinfo else cell.replace(tzinfo=UTC)
    elif isinstance(expected, date) and isinstance(cell, datetime):
        cell = cell.date()
    elif isinstance(expected, Decimal):
        cell = Decimal(repr(cell) if isinstance(cell, float) else cell)
    return bool(cell == expected)


def read(cell: str, expected: Any) -> Any:
    if isinstance(expected, list):
        return json.loads(cell)
    if isinstance(expected, datetime):
        return datetime.fromisoformat(cell)
    if isinstance(expected, date):
        return date.fromisoformat(cell)
    if isinstance(expected, bool):
        return json.loads(cell)
    return Decimal(cell)


def same_in_csv(cell: str, expected: Any) -> bool:
    if isinstance(expected, list):
        expected = ";".join(expected)
    if isinstance(expected, str):
        # Guards of formulas are apostrophes, and nothing else is ever changed.
        is_plain = not re.search("[=+@\t\r\n\uff1d\uff0b\uff20\uff0d-]", expected)
        return cell == expected if is_plain else cell.replace("'", "") == expected.replace("'", "")
    if expected is None:
        return cell == ""
    return bool(read(cell, expected) == expected)
