"""The short cut from bytes to rows and the complete way give the same rows, or refuse the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib.json import serialize_json
from target_deals_postgres.records.columns import Column, Kind, fields_of
from target_deals_postgres.records.rows import Layout, UnknownFieldsError
from target_deals_postgres.records.values import NarrowError, UnfitError, loads

SPECS: dict[str, Any] = {
    "id": {"type": "integer"},
    "i": {"type": ["integer", "null"]},
    "n": {"type": ["number", "null"]},
    "b": {"type": ["boolean", "null"]},
    "s": {"type": ["string", "null"]},
    "d": {"type": ["string", "null"], "format": "date"},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "t": {"type": ["string", "null"], "format": "time"},
    "u": {"type": ["integer", "string", "null"]},
    "x": {"type": ["string", "null"], "format": "singer.decimal"},
    "o": {"type": ["object", "null"]},
    "l": {"type": ["array", "null"]},
    "m": {"type": ["integer", "object", "null"]},
    "a": {},
}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["2026-01-31", "2026-01-31T10:00:00Z", "10:00:00", "now", "1.50", "\\N", "\\", "\t"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
records = st.fixed_dictionaries({}, optional=dict.fromkeys([*SPECS, "unknown"], values))


def layout(**more: Any) -> Layout:
    columns = [Column(field, field.name, field.kind) for field in fields_of({"properties": SPECS})]
    return Layout(columns, ["id"], **more)


def outcome(run: Any) -> Any:
    try:
        row, present = run()
    except (UnfitError, NarrowError, UnknownFieldsError) as error:
        return type(error)
    return [
        meaning(text, column.kind) for text, column in zip(row, layout().columns, strict=False)
    ], present


def meaning(text: str, kind: Kind) -> Any:
    # Two spellings of one JSON value, number or truth are the same to PostgreSQL.
    if text != "\\N" and kind in {Kind.JSONB, Kind.NUMERIC, Kind.BOOLEAN}:
        try:
            plain = text.replace("\\\\", "\\")
            return loads((plain if kind is Kind.JSONB else plain.lower()).encode())
        except ValueError:
            pass
    return text


@pytest.mark.parametrize("extra", [False, True])
@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(record=records)
def test_both_ways_agree(extra: bool, record: dict[str, Any]) -> None:  # noqa: FBT001
    line = serialize_json(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    plain = b"\\" not in line and b"\t" not in line
    quick = outcome(lambda: layout(extra=extra).row(line, plain=plain))
    complete = outcome(lambda: layout(extra=extra).row_of(loads(line)))
    assert quick == complete


def test_the_short_cut_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "row_of", None)
    record = {
        "id": 1,
        "i": 2**62,
        "n": 1.5,
        "b": True,
        "s": "a\tb",
        "d": "2026-01-31",
        "at": "2026-01-31T10:00:00Z",
        "t": "10:00:00",
        "u": "x",
        "x": "1.50",
        "o": {"a": [1]},
        "l": [1],
        "m": 5,
        "a": None,
    }
    for one in (record, dict.fromkeys(record) | {"id": 1}, {"id": 1}):
        row, present = layout().row(json.dumps(one).encode(), plain=False)
        assert len(row) == len(SPECS)
        assert present.complete == (len(one) == len(record))
