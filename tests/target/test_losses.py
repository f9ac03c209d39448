"""No accepted value is lost: each test is a way in which one was."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
