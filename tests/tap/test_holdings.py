"""What a mirror holds is told by the state exactly, in little room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tap_hubspot_deals.reading import holdings, idsets
from tap_hubspot_deals.reading.holdings import Holdings
from tap_hubspot_deals.reading.idsets import IdSet
from tap_hubspot_deals.reading.link_keys import LinkKey, link_keys, pack_keys, unpack_keys
from tap_hubspot_deals.reading.packing import Mark, pack, pack_marks, unpack_marks

IDS = st.integers(1, 40)
STEPS = st.lists(st.tuples(st.booleans(), st.lists(IDS)))


@settings(deadline=None)
@given(begin=st.sets(IDS), steps=STEPS, overlay=st.integers(0, 5))
def test_a_set_of_ids_is_a_set(
    begin: set[int], steps: list[tuple[bool, list[int]]], overlay: int
) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(idsets, "OVERLAY", overlay)
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


def packed(links: list[LinkKey]) -> bytes:
    return pack_keys(links, per_pair=False)


LINKS = st.lists(st.tuples(st.just("contacts"), IDS.map(str), st.just("X"), st.integers(1, 3)))
KINDS = st.sampled_from(["live", "archived", "merged", "gone", "untold"])
MARKS = st.lists(st.builds(Mark, IDS, KINDS, st.none() | LINKS.map(packed)))


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
    turns = [held.turn("live", 10, "noon") for _ in range(3)]
    assert sorted(turns[0] + turns[1] + turns[2]) == list(range(1, 26))
    held = Holdings(held.pack())
    assert held.turn("live", 10, "noon") == turns[0]


def test_no_turn_is_lost_where_ids_are_a_multiple_of_it() -> None:
    held = Holdings()
    held.take(Mark(i, "live") for i in range(1, 21))
    assert [held.turn("live", 10, "noon")[0] for _ in range(4)] == [1, 11, 1, 11]


def test_what_is_known_of_all_is_as_old_as_the_round_in_which_all_had_their_turn() -> None:
    held = Holdings()
    held.take(Mark(i, "live") for i in range(1, 26))
    assert held.compared_since("live") is None
    held.compared("0")
    known = []
    for run in "123456":
        held.turn("live", 10, run)
        held = Holdings(held.pack())
        known.append(held.compared_since("live"))
    assert known == ["0", "0", "1", "1", "1", "4"]
    held.turn("live", 25, "7")
    assert held.compared_since("live") == "7"


def test_a_hundred_thousand_ids_take_some_two_bytes_each() -> None:
    held = Holdings()
    held.take(Mark(21_000_000_000 + i * 37, "live") for i in range(100_000))
    assert len(held.pack()) < 300_000


def test_links_beyond_the_limit_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "LINK_LIMIT", 3)
    held = Holdings()
    held.take([Mark(1, "live", packed([("contacts", str(i), "X", 1) for i in range(4)]))])
    assert held.links is None
    assert Holdings(held.pack()).links is None
    assert held.links_of(1) == set()


@given(LINKS, LINKS)
def test_links_of_the_two_ways_are_told_apart(one: list[LinkKey], other: list[LinkKey]) -> None:
    both = packed(one) + pack_keys(other, per_pair=True)
    assert list(unpack_keys(both, per_pair=False)) == one
    assert list(unpack_keys(both, per_pair=True)) == other


@given(before=LINKS, now=LINKS)
def test_the_difference_of_links_is_what_went(before: list[LinkKey], now: list[LinkKey]) -> None:
    held = Holdings()
    held.take([Mark(1, "live", packed([*before, ("companies", "7", "Y", 9)]))])
    links = {
        "contacts": [
            {"id": i, "types": [{"category": c, "type_id": t, "label": None}]} for _, i, c, t in now
        ]
    }
    assert link_keys(links) == now
    known, gone = held.relink(1, links, ["contacts"])
    assert set(gone) == set(before) - set(now)
    held.take([Mark(1, "live", known)])
    assert held.links_of(1) == {*now, ("companies", "7", "Y", 9)}  # nobody asked for companies


@pytest.mark.parametrize("per_pair", [False, True])
def test_states_of_before_there_were_columns_are_read(*, per_pair: bool) -> None:
    own, other = ("contacts", "5", "X", 1), ("contacts", "6", "X", 2)
    names = ("*contacts", "contacts") if per_pair else ("contacts", "*contacts")
    linked = [[7, None, [[names[0], *own[1:]], [names[1], *other[1:]]]]]
    ids = {"live": [7, 2], "archived": [], "merged": [3]}
    held = Holdings(pack({"ids": ids, "linked": linked, "turns": {"live": 7}}), per_pair=per_pair)
    known = {kind: list(held.ids[kind]) for kind in holdings.KINDS if held.ids[kind]}
    assert known == {"live": [7, 9], "merged": [3]}
    assert held.turn("live", 1, "noon") == [9]
    assert held.links_of(7) == {own}
    recent = pack([[9, "archived", [list(own)]], [7, "live", None], [8, "live", []]])
    held.take(unpack_marks(recent, per_pair=per_pair))
    assert held.links_of(7) == held.links_of(9) == {own}
    assert list(held.live) == [7, 8]
    held.per_pair = not per_pair
    assert held.links_of(7) == {other}
    again = Holdings(held.pack(), per_pair=per_pair)
    assert again.links_of(7) == {own}
    assert Holdings(pack({"ids": ids, "linked": None})).links is None


def test_ten_thousand_links_take_some_four_bytes_each() -> None:
    held = Holdings()
    held.take(
        Mark(
            21_000_000_000 + i * 37,
            "live",
            packed([("contacts", str(30_000_000_000 + i * 7919 % 100_003 * 37), "X", 3)]),
        )
        for i in range(10_000)
    )
    with_links = len(held.pack())
    held.links = None
    assert (with_links - len(held.pack())) / 10_000 < 5


def test_columns_that_do_not_fit_together_are_damage() -> None:
    columns = {"kinds": [], "ids": [1], "went": [1], "counts": [1], "types": [0], "to": [5]}
    with pytest.raises(ValueError, match="index"):
        unpack_marks(pack(columns))


@pytest.mark.parametrize("packed", ["", "nonsense", "a b", "\u20ac"])
def test_a_damaged_state_is_told(packed: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is the library's
        Holdings(packed)
