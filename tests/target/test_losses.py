"""No accepted value is lost: each test is a way in which one was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from target.conftest import Loader

DATE = {"type": ["string", "null"], "format": "date"}
MOMENT = {"type": ["string", "null"], "format": "date-time"}


def test_a_record_without_a_retyped_property_keeps_its_old_value(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "amount": "number", "name": "string"}, ["id"]),
        pg.records("t", {"id": 1, "amount": 5}, {"id": 2, "amount": 6}),
    )
    retyped = pg.schema("t", {"id": "integer", "amount": "string", "name": "string"}, ["id"])
    pg.load(retyped, pg.records("t", {"id": 1, "name": "y"}, {"id": 2, "amount": "z"}))
    rows = "SELECT id, amount, amount__text, name FROM hubspot.t ORDER BY 1"
    assert pg.rows(rows) == [(1, 5, None, "y"), (2, None, "z", None)]
    pg.load(retyped, pg.records("t", {"id": 1, "name": "z"}))  # all records alike
    assert pg.rows(rows)[0] == (1, 5, None, "z")


def test_an_integer_that_was_too_big_may_become_text(pg: Loader) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "n": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "n": 2**70}),
        pg.schema("t", {"id": "integer", "n": "string"}, ["id"]),
        pg.records("t", {"id": 2, "n": "text"}),
    )
    assert pg.rows("SELECT n, n__text FROM hubspot.t ORDER BY id") == [
        (2**70, None),
        (None, "text"),
    ]


def test_a_record_without_undeclared_fields_beside_one_that_has_some_is_new_once(
    pg: Loader,
) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "a": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "x": 1}, {"id": 2, "x": 1, "a": 2}, {"id": 3, "a": 3}),
    )
    assert pg.rows("SELECT id, _extra FROM hubspot.t ORDER BY 1") == [
        (1, {"x": 1}),
        (2, {"x": 1}),
        (3, None),
    ]
    assert "3 processed, 3 created, 0 updated, 0 unchanged" in pg.log


@pytest.mark.parametrize("batch", [1, 10])
def test_undeclared_fields_gather_whatever_the_batch_size(pg: Loader, batch: int) -> None:
    pg.load(
        pg.schema("t", {"id": "integer", "a": "integer"}, ["id"]),
        pg.records("t", {"id": 1, "a": 1, "x": 1}, {"id": 1, "a": 1, "y": 2}, {"id": 1, "a": 2}),
        batch_size_rows=batch,
    )
    assert pg.rows("SELECT a, _extra FROM hubspot.t") == [(2, {"x": 1, "y": 2})]


@pytest.mark.parametrize("bad", [b'{"id":1,"o":{"x":"\xff"}}', b'{"id":1,"o":{"\xc3":1}}'])
def test_bytes_that_are_no_utf_8_inside_an_object_are_replaced(pg: Loader, bad: bytes) -> None:
    line = b'{"type":"RECORD","stream":"t","record":' + bad + b"}"
    pg.load(
        pg.schema("t", {"id": "integer", "o": "object"}, ["id"]),
        line.decode("utf-8", "surrogateescape"),
        pg.records("t", {"id": 2, "o": {}}),
    )
    [(first,), _] = pg.rows("SELECT o::text FROM hubspot.t ORDER BY id")
    assert "\N{REPLACEMENT CHARACTER}" in first


SPELLINGS = {
    "uuid": (
        {"type": "string", "format": "uuid"},
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    ),
    "date-time": (
        {"type": "string", "format": "date-time"},
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
    ),
    "number": ({"type": "number"}, 1, 1.0),
    "object": ({"type": "object"}, {"a": 1, "b": 2}, {"b": 2, "a": 1}),
}


@pytest.mark.parametrize("kind", SPELLINGS)
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("batch", [1, 100])
def test_the_newer_of_two_spellings_of_a_key_wins(
    pg: Loader, kind: str, batch: int, *, filled: bool
) -> None:
    spec, one, other = SPELLINGS[kind]
    schema = pg.schema("t", {"k": spec, "a": "integer", "b": "integer"}, ["k"])
    if filled:
        pg.load(schema, pg.records("t", {"k": other, "a": 0, "b": 0}))
    records = []
    for at in range(1, 8):  # each lacks a field, has all, or cannot be stored
        records += [{"k": one, "a": at}, {"k": other, "b": -at}, {"k": one, "a": at, "b": at}]
    records += [{"k": other, "a": 8, "b": 99}, {"k": one, "b": 100}, {"k": other, "b": 101}]
    records.append({"k": one, "b": 102})
    pg.load(schema, pg.records("t", *records), batch_size_rows=batch)
    assert pg.rows("SELECT a, b FROM hubspot.t") == [(8, 102)]
    pg.load(schema, pg.records("t", {"k": one, "a": 1, "b": 1}, {"k": other, "a": 2, "b": 2}))
    assert pg.rows("SELECT a, b FROM hubspot.t") == [(2, 2)]


def test_spellings_and_refused_rows_come_together(pg: Loader) -> None:
    schema = pg.schema("t", {"k": SPELLINGS["uuid"][0], "d": DATE, "b": "integer"}, ["k"])
    _, one, other = SPELLINGS["uuid"]
    records: list[Any] = [
        {"k": one, "d": "2026-02-31"},
        {"k": other, "d": "2026-02-01", "b": 1},
        {"k": one, "d": "2026-02-30", "b": 2},
        {"k": one, "b": 3},
        {"k": other, "d": "2026-02-29"},
    ]
    pg.load(schema, pg.records("t", *records), max_rejected_records=-1)
    assert pg.rows("SELECT d::text, b FROM hubspot.t") == [("2026-02-01", 3)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(3,)]


@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("filled", [False, True])
def test_a_refused_record_takes_no_other_of_its_key_with_it(
    pg: Loader, batch: int, *, filled: bool
) -> None:
    schema = pg.schema("t", {"id": "integer", "d": DATE, "b": "integer"}, ["id"])
    if filled:
        pg.load(schema, pg.records("t", *({"id": at, "d": None, "b": 0} for at in (1, 2, 3, 4))))
    good, bad = "2026-02-01", "2026-02-30"
    records: list[Any] = [
        {"id": 1, "d": good, "b": 1},
        {"id": 1, "d": bad, "b": 2},
        {"id": 2, "d": bad, "b": 3},
        {"id": 2, "d": good},
        {"id": 3, "b": 5},
        {"id": 3, "d": good},
        {"id": 4, "b": 6},
        {"id": 4, "d": bad},
        {"id": 4, "d": bad, "b": 7},
    ]
    pg.load(schema, pg.records("t", *records), batch_size_rows=batch, max_rejected_records=-1)
    assert pg.rows("SELECT id, d::text, b FROM hubspot.t ORDER BY id") == [
        (1, good, 1),
        (2, good, 0 if filled else None),
        (3, good, 5),
        (4, None, 6),
    ]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(4,)]
    assert "9 processed" in pg.log
    assert "4 failed" in pg.log


@pytest.mark.parametrize("filled", [False, True])
def test_a_batch_of_nothing_but_rows_with_a_refused_part_is_loaded(
    pg: Loader, *, filled: bool
) -> None:
    schema = pg.schema("t", {"id": "integer", "d": DATE, "b": "integer"}, ["id"])
    if filled:
        pg.load(schema, pg.records("t", {"id": 1, "d": None, "b": 0}))
    records: list[Any] = [{"id": 1, "b": 6}, {"id": 1, "d": "2026-02-30"}]
    pg.load(schema, pg.records("t", *records), max_rejected_records=-1)
    assert pg.rows("SELECT id, d::text, b FROM hubspot.t") == [(1, None, 6)]
    assert pg.rows("SELECT count(*) FROM hubspot._rejected_records") == [(1,)]
    assert "2 processed" in pg.log
    assert "1 failed" in pg.log
