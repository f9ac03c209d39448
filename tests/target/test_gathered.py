"""Tables that gather several streams of the tap: what one of these says, it does not say of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from target_deals_postgres.errors import InputCutError

if TYPE_CHECKING:
    from target.conftest import Loader

BY_NAME = {"one": {"__alias__": "both"}, "two": {"__alias__": "'both'"}}
BY_PATTERN = {"*": {"__alias__": "both"}}
INTO_A_STREAM = {"one": {"__alias__": "two"}}


def read(pg: Loader, stream: str, id_: int, version: int) -> list[Any]:
    return [
        pg.schema(stream, {"id": "integer"}, ["id"]),
        *pg.records(stream, {"id": id_}, version=version),
        pg.activate(stream, version),
    ]


def alive(pg: Loader, table: str) -> list[Any]:
    return pg.rows(f"SELECT id FROM hubspot.{table} WHERE _sdc_deleted_at IS NULL ORDER BY 1")


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("maps", [BY_NAME, BY_PATTERN, INTO_A_STREAM])
def test_a_version_of_one_stream_deletes_no_rows_of_another(
    pg: Loader, maps: dict[str, Any], *, hard: bool
) -> None:
    table = "two" if maps is INTO_A_STREAM else "both"
    for version in (1, 3):
        messages = [*read(pg, "one", 1, version), *read(pg, "two", 2, version + 1)]
        if maps is INTO_A_STREAM:  # nothing says that more will come, until it comes
            messages = [*messages[3:], *messages[:3]]
        pg.load(messages, stream_maps=maps, hard_delete=hard)
    assert alive(pg, table) == [(1,), (2,)]
    assert "since several streams lead to this table" in pg.log


def test_a_stream_that_is_only_called_otherwise_activates_its_versions(pg: Loader) -> None:
    maps = {"one": {"__alias__": "other"}, "two": {"__alias__": "__stream_name__ + '_2'"}}
    for at in (1, 2):
        pg.load(*read(pg, "one", at, at), *read(pg, "two", at, at), stream_maps=maps)
    assert alive(pg, "other") == alive(pg, "two_2") == [(2,)]


def test_a_version_of_a_stream_that_is_left_out_activates_nothing(pg: Loader) -> None:
    maps = {"one": {"__alias__": "two"}, "two": None}
    for at in (1, 2):
        [schema, *_, _] = read(pg, "two", at, at)
        one = read(pg, "one", at, at)
        pg.load(one[:2], schema, pg.activate("two", at), stream_maps=maps)
    assert alive(pg, "two") == [(1,), (2,)]


def test_what_gathers_several_streams_is_overwritten_by_all_of_them(pg: Loader) -> None:
    one, two = (
        [
            pg.schema(name, {"id": "integer"}, ["id"]),
            *pg.records(name, {"id": at}),
            pg.state(at),
        ]
        for at, name in enumerate(("one", "two"), start=1)
    )
    settings: dict[str, Any] = {"stream_maps": BY_NAME, "overwrite": ["both"]}
    pg.load(one, two, **settings)
    with pytest.raises(InputCutError, match="no SCHEMA came of two"):
        pg.load(one, **settings)
    assert pg.states == []
    assert pg.rows("SELECT id FROM hubspot.both ORDER BY 1") == [(1,), (2,)]
