"""What a mirror holds is told by the state exactly, in little room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tap_hubspot_deals.reading import holdings
from tap_hubspot_deals.reading.holdings import Holdings, IdSet, Mark, pack_marks, unpack_marks

IDS = st.integers(1, 40)
STEPS = st.lists(st.tuples(st.booleans(), st.lists(IDS)))


@settings(deadline=None)
@given(begin=st.sets(IDS), steps=STEPS, overlay=st.integers(0, 5))
def test_a_set_of_ids_is_a_set(
    begin: set[int], steps: list[tuple[bool, list[int]]], overlay: int
) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(holdings, "OVERLAY", overlay)
    ids, plain = IdSet(sorted(begin)), set(begin)
    for adds, numbers in steps:
        (ids.add if adds else ids.discard)(numbers)
        (plain.update if adds else plain.difference_update)(numbers)
    patch.undo()
    assert list(ids) == sorted(plain)
    assert len(ids) == len(plain)
    assert all((i in ids) == (i in plain) for i in range(42))
    assert ids.count(10, 30) == len(ids.between(10, 30))
    for number in (1, 4, 9):
        found = ids.quantiles(number)
        assert min(number, len(plain)) <= len(found) <= number
        assert found == sorted(found)
    assert ids.between(10, 30) == sorted(i for i in plain if 10 <= i <= 30)


LINKS = st.lists(st.tuples(st.just("contacts"), IDS.map(str), st.just("X"), st.integers(1, 3)))
MARKS = st.lists(
    st.builds(Mark, IDS, st.sampled_from(["live", "archived", "merged", "gone"]), st.none() | LINKS)
)


@settings(deadline=None)
@given(first=MARKS, then=MARKS)
def test_what_is_packed_comes_back(first: list[Mark], then: list[Mark]) -> None:
    held = Holdings()
    held.take(first, seen=False)
    again = Holdings(held.pack())
    for each in (held, again):
        each.take(unpack_marks(pack_marks(then)))
    for number in range(1, 41):
        assert held.links_of(number) == again.links_of(number)
    kinds = [{kind: list(ids) for kind, ids in each.ids.items()} for each in (held, again)]
    assert kinds[0] == kinds[1]
    assert held.unseen("live") == again.unseen("live")
    last = {mark.id: mark.kind for mark in [*first, *then]}
    assert kinds[0]["live"] == sorted(i for i, kind in last.items() if kind == "live")


def test_each_id_has_its_turn() -> None:
    held = Holdings()
    held.take(Mark(i, "live") for i in range(1, 26))
    turns = [held.turn("live", 10) for _ in range(3)]
    assert sorted(turns[0] + turns[1] + turns[2]) == list(range(1, 26))
    held = Holdings(held.pack())
    assert held.turn("live", 10) == turns[0]


def test_a_hundred_thousand_ids_take_some_two_bytes_each() -> None:
    held = Holdings()
    held.take(Mark(21_000_000_000 + i * 37, "live") for i in range(100_000))
    assert len(held.pack()) < 300_000


def test_links_beyond_the_limit_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "LINK_LIMIT", 3)
    held = Holdings()
    held.take([Mark(1, "live", [("contacts", str(i), "X", 1) for i in range(4)])])
    assert held.links is None
    assert Holdings(held.pack()).links is None
    assert held.links_of(1) == set()


@pytest.mark.parametrize("packed", ["", "nonsense", "a b", "\u20ac"])
def test_a_damaged_state_is_told(packed: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is the library's
        Holdings(packed)
