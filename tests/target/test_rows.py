"""The short cut from bytes to rows and the complete way give the same rows, or refuse the same."""

from __future__ import annotations

import gc
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib.json import serialize_json
from target_deals_postgres.records.columns import Column, Kind, fields_of
from target_deals_postgres.records.lines import NULL, texts_of, unescape
from target_deals_postgres.records.presence import Presence
from target_deals_postgres.records.rows import PRESENCES, Layout, UnknownFieldsError
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
        [
            *("2026-01-31", "2026-01-31T10:00:00Z", "10:00:00", "now", "1.50", "\\N", "\\", "\t"),
            *("\x01", "a\x02b", "\x02", "\\001", "\\002", "\n", "a\r"),
            *(
                "\\n",
                "\\\n",
                "\0",
                "\ud83d",
                "a\ud800\0b",
                "\\u0000",
                "für",
                "\N{PARTY POPPER}\r\n",
            ),
        ]
    )
    | st.sampled_from(
        ["0.0", "-0", "-0.0", "7.00", "1E2", "0.0000001", "9" * 18 + ".0", "9" * 19]
    ).map(Decimal),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
records = st.fixed_dictionaries({}, optional=dict.fromkeys([*SPECS, "x1", "x2", 'x"3'], values))


COLUMNS = [Column(field, field.name, field.kind) for field in fields_of({"properties": SPECS})]


def layout(**more: Any) -> Layout:
    return Layout(COLUMNS, ["id"], **more)


def outcome(run: Any) -> Any:
    try:
        row, line, present = run()
    except (UnfitError, NarrowError, UnknownFieldsError) as error:
        return type(error)
    texts = texts_of(line)
    kinds = [*(column.kind for column in COLUMNS), Kind.JSONB][: len(texts)]
    found = [meaning(text, kind) for text, kind in zip(texts, kinds, strict=True)]
    return found, row[0], texts[0], present


def meaning(text: str, kind: Kind) -> Any:
    # Two spellings of one JSON value, number or truth are the same to PostgreSQL.
    plain = unescape(text)
    if plain is not None and kind in {Kind.JSONB, Kind.NUMERIC, Kind.BOOLEAN}:
        try:
            return loads((plain if kind is Kind.JSONB else plain.lower()).encode())
        except ValueError:
            pass
    return text


@pytest.mark.parametrize("extra", [False, True])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(some=st.lists(st.tuples(records, st.booleans()), min_size=1, max_size=3))
def test_both_ways_agree(extra: bool, some: list[tuple[dict[str, Any], bool]]) -> None:  # noqa: FBT001
    quick, complete = layout(extra=extra), layout(extra=extra)
    for record, escaped in some:  # what one record asks of the decoder stays for the next
        line = serialize_json(record, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        plain = b"\\" not in line and b"\r" not in line
        assert outcome(lambda: quick.row(line, plain=plain)) == outcome(  # noqa: B023
            lambda: complete.row_of(loads(line))  # noqa: B023
        )
    assert quick.replaced == complete.replaced


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
        row, _, present = layout().row(json.dumps(one).encode(), plain=False)
        assert len(row) == len(SPECS)
        assert present.complete == (len(one) == len(record))


def test_one_field_out_of_order_does_not_cost_the_whole_record_its_short_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Layout, "row_of", None)
    one = layout(extra=True)
    for at in range(300):  # more names than are learned
        record = {"id": at, "i": 1.0, f"x{at}": [at], "s": "für\n"}
        _, line, present = one.row(json.dumps(record).encode(), plain=False)
        texts = texts_of(line)
        assert (texts[0], texts[1], texts[4]) == (str(at), "1", "für\\n")
        assert json.loads(texts[-1]) == {f"x{at}": [at]}
        assert present[len(SPECS)]
    _, line, present = one.row(b'{"id": 1, "x7": 1, "x299": "\\n"}', plain=False)
    assert json.loads(unescape(texts_of(line)[-1]) or "") == {"x7": 1, "x299": "\n"}
    _, line, present = one.row(b'{"id": 1}', plain=True)
    assert (texts_of(line)[-1], present[len(SPECS)]) == (NULL, False)


def test_records_with_ever_other_fields_take_no_more_room() -> None:
    one = layout()
    names = [name for name in SPECS if name != "id"]
    for number in range(PRESENCES * 2):
        fields = [name for at, name in enumerate(names) if number >> at & 1]
        record = {"id": number, **dict.fromkeys(fields)}
        row, _, present = one.row(serialize_json(record).encode(), plain=True)
        assert row[0] == str(number)
        assert {name for name in names if present[list(SPECS).index(name)]} == set(fields)
    kept = [each for each in gc.get_referrers(Presence) if isinstance(each, Presence)]
    assert len(kept) <= PRESENCES + 100  # those of other layouts
