"""Every value comes back as it was sent, or is refused and listed: none is bent."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from harness.database import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib.json import serialize_json
from target_deals_postgres.errors import RejectedRecordsError

if TYPE_CHECKING:
    from target.conftest import Loader

DATE_TIME = {"type": ["string", "null"], "format": "date-time"}
DATE = {"type": ["string", "null"], "format": "date"}
TIME = {"type": ["string", "null"], "format": "time"}


def raw(stream: str, fields: str) -> str:
    return f'{{"type": "RECORD", "stream": "{stream}", "record": {{{fields}}}}}'


def test_decimals_keep_all_their_digits(pg: Loader) -> None:
    digits = "12345678901234567890.1234567890123456789012345678901234567890"
    pg.load(
        pg.schema("t", {"id": "integer", "n": "number", "o": "object"}, ["id"]),
        raw("t", f'"id": 1, "n": {digits}, "o": {{"a": {digits}}}'),
        raw("t", '"id": 2, "n": 1e5'),
        raw("t", '"id": 3, "n": -0.10'),
    )
    assert pg.rows("SELECT n::text, o ->> 'a' FROM hubspot.t ORDER BY id") == [
        (digits, digits),
        ("100000", None),
        ("-0.10", None),
    ]


def test_integers_beyond_bigint_widen_the_column(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "n": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "n": 2**63 - 1}, {"id": 2, "n": -(2**63)}),
    )
    assert pg.types("t")["n"] == "bigint"
    pg.load(
        pg.schema("t", {"id": "integer", "n": "integer"}, ["id"]),
        pg.records("t", {"id": 3, "n": 5}, {"id": 4, "n": 2**63}, {"id": 5, "n": 10**40}),
        pg.records("t", {"id": 2**70, "n": None}),
        raw("t", '"id": 6, "n": 7.0'),
    )
    assert pg.types("t") == {"id": "numeric", "n": "numeric"}
    assert pg.rows("SELECT id, n FROM hubspot.t ORDER BY id") == [
        (1, 2**63 - 1),
        (2, -(2**63)),
        (3, 5),
        (4, 2**63),
        (5, 10**40),
        (6, 7),
        (2**70, None),
    ]


def test_integers_whose_schema_goes_beyond_bigint_are_numeric_at_once(pg: Loader) -> None:
    pg.load(pg.schema("t", {"n": {"type": "integer", "maximum": 2**64}}), pg.records("t", {"n": 1}))
    assert pg.types("t") == {"n": "numeric"}


def test_not_a_number_and_infinity_are_numbers_and_strings_inside_json(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "n": "number", "o": "object"}, ["id"]),
        raw("t", '"id": 1, "n": NaN, "o": {"a": NaN}'),
        raw("t", '"id": 2, "n": Infinity, "o": {"a": [-Infinity]}'),
        raw("t", '"id": 3, "n": -Infinity'),
    )
    assert pg.rows("SELECT n::text, o FROM hubspot.t ORDER BY id") == [
        ("NaN", {"a": "NaN"}),
        ("Infinity", {"a": ["-Infinity"]}),
        ("-Infinity", None),
    ]


def test_years_from_1_to_9999_and_offsets_are_kept(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "at": DATE_TIME, "day": DATE}, ["id"]),
        pg.records(
            "t",
            {"id": 1, "at": "0001-01-01T00:00:00Z", "day": "0001-01-01"},
            {"id": 2, "at": "9999-12-31T23:59:59.999999Z", "day": "9999-12-31"},
            {"id": 3, "at": "2026-03-29T02:30:00+02:00", "day": "2026-03-29"},
            {"id": 4, "at": "2026-03-29T12:00:00", "day": None},
        ),
    )
    assert pg.rows("SELECT at, day FROM hubspot.t ORDER BY id") == [
        (datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), date(9999, 12, 31)),
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 12, tzinfo=UTC), None),
    ]


def test_the_time_zone_of_the_database_does_not_matter(pg: Loader) -> None:
    name = pg.rows("SELECT current_database()")[0][0]
    pg.rows(f"ALTER DATABASE \"{name}\" SET timezone = 'America/New_York'")
    pg.rows(f"ALTER DATABASE \"{name}\" SET datestyle = 'SQL, DMY'")
    pg.load(
        pg.schema("t", {"at": DATE_TIME, "day": DATE}),
        pg.records("t", {"at": "2026-01-01T12:00:00Z", "day": "2026-02-03"}),
        pg.records("t", {"at": "2026-01-01T12:00:00", "day": "2026-02-03"}),
    )
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert pg.rows("SELECT at, day FROM hubspot.t") == [(noon, date(2026, 2, 3))] * 2


@pytest.mark.parametrize(
    ("spec", "value", "stored"),
    [
        (DATE_TIME, "2026-12-31T23:59:60Z", "2027-01-01 00:00:00+00"),
        (DATE_TIME, "2026-12-31T24:00:00Z", "2027-01-01 00:00:00+00"),
        (DATE_TIME, "2026-01-01T00:00:00+14:00", "2025-12-31 10:00:00+00"),
        (DATE_TIME, "2026-01-01t00:00:00z", "2026-01-01 00:00:00+00"),
        (DATE_TIME, "2026-01-01T00:00:00.123456Z", "2026-01-01 00:00:00.123456+00"),
        (DATE_TIME, "2026-01-01", "2026-01-01 00:00:00+00"),
        (DATE_TIME, "0044-03-15T00:00:00Z BC", "0044-03-15 00:00:00+00 BC"),
        (DATE_TIME, "-0044-03-15T00:00:00Z", None),
        (DATE_TIME, "0000-01-01T00:00:00Z", None),
        (DATE_TIME, "10000-01-01T00:00:00Z", None),
        (DATE_TIME, "2026-06-30T23:59:60.5Z", None),
        (DATE_TIME, "infinity", None),
        (DATE_TIME, "1767225600000", None),
        (DATE, "2026-02-29", None),
        (DATE, "2026-01-01Z", None),
        (TIME, "10:00:00Z", "10:00:00"),
        (TIME, "23:59:60", None),
        (TIME, "24:00:00", None),
        (TIME, "20260131", None),
        (TIME, "allballs", None),
        ({"type": "string", "format": "duration"}, "P1DT2H", "P1DT2H"),
        ({"type": "string", "contentEncoding": "base64"}, "AAEC", "AAEC"),
        ({"type": "integer"}, 1e3, "1000"),
        ({"type": "boolean"}, "false", None),
        ({"type": "boolean"}, 0, None),
    ],
)
def test_edges_of_time_and_of_types_are_stored_as_meant_or_refused(
    pg: Loader, spec: dict[str, Any], value: Any, stored: str | None
) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "v": spec}, ["id"]),
        pg.records("t", {"id": 1, "v": value}),
        max_rejected_records=-1,
    )
    assert pg.rows("SELECT v::text FROM hubspot.t") == ([] if stored is None else [(stored,)])


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (DATE_TIME, "now"),
        (DATE_TIME, ""),
        (DATE_TIME, "01/02/2026"),
        (DATE_TIME, "2026-02-30T00:00:00Z"),
        (DATE, "2026-01-01T10:00:00Z"),
        (DATE, "tomorrow"),
        ({"type": "integer"}, 1.5),
        ({"type": "integer"}, "5"),
        ({"type": "number"}, "5"),
        ({"type": "boolean"}, "true"),
        ({"type": "string"}, 5),
        ({"type": "string", "format": "uuid"}, "x"),
    ],
)
def test_a_value_that_does_not_fit_its_schema_costs_its_record_only(
    pg: Loader, spec: dict[str, Any], value: Any
) -> None:
    with pytest.raises(RejectedRecordsError, match="1 records were rejected"):
        pg.load(
            pg.schema("t", {"id": {"type": "integer"}, "v": spec}, ["id"]),
            pg.records("t", {"id": 1, "v": value}, {"id": 2}),
        )
    assert pg.rows("SELECT id FROM hubspot.t") == [(2,)]
    [(stream, key, payload)] = pg.rows(
        "SELECT stream, record_key, payload FROM hubspot._rejected_records"
    )
    assert (stream, json.loads(payload)["v"]) == ("t", value)
    assert "1" in key


def test_texts_are_kept_to_the_character(pg: Loader) -> None:
    texts = [
        "",
        " ",
        "\\N",
        "\\",
        "a\tb\nc\rd\\n",
        "\b\f\v",
        '"',
        "'",
        "NULL",
        "{}",
        "ö€😀",
        "x" * 70000,
    ]
    texts += [
        "\\.",
        "\\\\N",
        "\x01",
        "\x02",
        "a\x02\x01",
        "\\001",
        "\\002",
        "\x7f",
        "\ufeff",
        "\u2028",
        "a,b",
    ]
    pg.load(
        pg.schema("t", {"id": "integer", "s": "string", "o": "object"}, ["id"]),
        pg.records(
            "t", *({"id": at, "s": text, "o": {text: [text]}} for at, text in enumerate(texts))
        ),
    )
    assert pg.rows("SELECT s, o FROM hubspot.t ORDER BY id") == [
        (text, {text: [text]}) for text in texts
    ]


def test_a_key_with_signs_of_copy_is_one_whichever_way_its_records_are_read(pg: Loader) -> None:
    keys = ["a\nb", "a\\b", "\\N", "a\tb", "a\rb", "a\x01b", "\x02"]
    pg.load(
        pg.schema("t", {"id": "string", "s": "string"}, ["id"]),
        pg.records("t", *({"id": key, "s": "first"} for key in keys)),
        pg.records("t", *({"id": key, "s": "then \x01"} for key in keys)),  # the patient way
        pg.records("t", *({"id": key, "s": 'last "'} for key in keys[::2])),
    )
    assert sorted(pg.rows("SELECT id, s FROM hubspot.t")) == sorted(
        [(key, "then \x01" if at % 2 else 'last "') for at, key in enumerate(keys)]
    )


def test_nul_and_lone_surrogates_become_the_replacement_character_and_are_counted(
    pg: Loader,
) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "s": "string", "o": "object"}, ["id"]),
        raw("t", r'"id": 1, "s": "a\u0000b", "o": {"k\u0000": "\\u0000 \\\u0000"}'),
        raw("t", r'"id": 2, "s": "a\ud800b", "o": {"k": "\ud83d\ude00 \udc00 \ud800"}'),
        raw("t", r'"id": 3, "s": "\ud83d\ude00", "o": {"k": "\u00e4"}'),
    )
    assert pg.rows("SELECT s, o FROM hubspot.t ORDER BY id") == [
        ("a\ufffdb", {"k\ufffd": "\\u0000 \\\ufffd"}),
        ("a\ufffdb", {"k": "😀 \ufffd \ufffd"}),
        ("😀", {"k": "ä"}),
    ]
    assert "4 values had characters that PostgreSQL cannot store" in pg.log


def test_unions_uuids_times_and_untyped_properties(pg: Loader) -> None:
    pg.load(
        pg.schema(
            "t",
            {
                "id": "integer",
                "scalar": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
                "any": {},
                "mixed": {"type": ["string", "object", "null"]},
                "day_or_moment": {"oneOf": [DATE, DATE_TIME]},
                "uuid": {"type": "string", "format": "uuid"},
                "time": {"type": ["string", "null"], "format": "time"},
                "decimal": {"type": ["string", "null"], "format": "singer.decimal"},
                "choice": {"enum": ["a", "b", None]},
                "ref": {"$ref": "#/definitions/amount"},
            },
            ["id"],
            definitions={"amount": {"type": ["number", "null"]}},
        ),
        pg.records(
            "t",
            {
                "id": 1,
                "scalar": 5,
                "any": [1, "x"],
                "mixed": "s",
                "day_or_moment": "2026-01-01",
                "uuid": "6a2f41a3-c54c-fce8-32d2-0324e1c32e22",
                "time": "10:00:00+02:00",
                "decimal": "1.2300",
                "choice": "a",
                "ref": 2.5,
            },
            {"id": 2, "scalar": "x", "mixed": {"a": 1}, "any": "y", "time": "10:00:00"},
        ),
    )
    assert list(pg.types("t").values()) == [
        "bigint",
        "text",
        "jsonb",
        "jsonb",
        "timestamp with time zone",
        "uuid",
        "time without time zone",
        "numeric",
        "text",
        "numeric",
    ]
    assert pg.rows(
        'SELECT scalar, "any", mixed, time::text, decimal::text, ref FROM hubspot.t ORDER BY id'
    ) == [
        ("5", [1, "x"], "s", "08:00:00", "1.2300", Decimal("2.5")),
        ("x", "y", {"a": 1}, "10:00:00", None, None),
    ]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
records = st.fixed_dictionaries(
    {"s": st.none() | st.text(), "b": st.none() | st.booleans(), "o": json_values}
    | {"i": st.none() | st.integers(-(2**63), 2**63 - 1)}
    | {
        "n": st.none()
        | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**60), max_value=10**60)
    }
    | {"at": st.none() | st.datetimes(timezones=st.just(UTC))},
)


def stored(value: Any) -> Any:
    # What PostgreSQL cannot store is replaced, and its JSON numbers have no negative zero.
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [stored(one) for one in value]
    if isinstance(value, dict):
        return {stored(name): stored(one) for name, one in value.items()}
    return value


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch=st.lists(records, min_size=1, max_size=30))
def test_any_record_comes_back_as_it_was_sent(pg: Loader, batch: list[dict[str, Any]]) -> None:
    pg.rows("DROP TABLE IF EXISTS hubspot.t")
    lines: list[Any] = []
    for at, record in enumerate(batch):
        moment = record["at"] and record["at"].isoformat()
        text = serialize_json({**record, "at": moment, "id": at})
        lines.append(raw("t", text[1:-1]))
    pg.load(
        pg.schema(
            "t",
            {
                "id": "integer",
                "s": "string",
                "b": "boolean",
                "i": "integer",
                "n": "number",
                "at": DATE_TIME,
                "o": {},
            },
            ["id"],
        ),
        lines,
    )
    with connect(pg.url) as opened, opened.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute("SELECT s, b, i, n, at, o::text FROM hubspot.t ORDER BY id")
        rows = cursor.fetchall()
    assert len(rows) == len(batch)
    for record, (s, b, i, n, at, o) in zip(batch, rows, strict=True):
        assert (s, b, i, n, at) == (
            stored(record["s"]),
            record["b"],
            record["i"],
            record["n"],
            record["at"],
        )
        back = None if o is None else json.loads(o, parse_float=Decimal)
        assert back == stored(record["o"])
