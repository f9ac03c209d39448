"""Writes: what moves the modified date and what does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hubspot_simulator import Portal

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.fixture
def portal() -> Portal:
    return Portal.generate(40)


def test_equal_seeds_make_equal_portals() -> None:
    first, second = Portal.generate(60, seed=5), Portal.generate(60, seed=5)

    assert first.truth() == second.truth()
    assert first.true_links() == second.true_links()
    assert first.truth() != Portal.generate(60, seed=6).truth()


def test_a_change_moves_the_modified_date_and_keeps_the_rest(portal: Portal) -> None:
    deal = portal.ids()[0]
    before = portal.truth().live[deal]

    portal.change("deals", deal, {"amount": "1.10"}, at=MOMENT)

    after = portal.truth().live[deal]
    assert after.updated_at == "2030-01-02T03:04:05.678Z"
    changed = {name for name, value in after.properties.items() if before.properties[name] != value}
    assert changed == {"amount", "hs_lastmodifieddate"}


def test_a_calculated_change_leaves_the_modified_date(portal: Portal) -> None:
    deal = portal.ids()[0]
    before = portal.truth().live[deal]

    portal.change("deals", deal, {"amount": "1.10"}, touch=False)

    assert portal.truth().live[deal].updated_at == before.updated_at


def test_archiving_and_linking_leave_the_modified_date(portal: Portal) -> None:
    linked, archived, *_ = portal.ids()
    before = portal.truth().live

    portal.link("deals", linked, "contacts", portal.ids("contacts")[-1])
    portal.archive("deals", archived, at=MOMENT)

    after = portal.truth()
    assert after.live[linked] == before[linked]
    assert after.archived[archived].updated_at == before[archived].updated_at
    assert after.archived[archived].archived_at == "2030-01-02T03:04:05.678Z"


@pytest.mark.parametrize("touches", [True, False])
def test_restoring_moves_the_modified_date_when_told_so(portal: Portal, *, touches: bool) -> None:
    portal.behaviour.restore_touches_modified = touches
    deal = portal.ids()[0]
    before = portal.truth().live[deal]
    portal.archive("deals", deal)

    portal.restore("deals", deal)

    after = portal.truth().live[deal]
    assert (after.updated_at != before.updated_at) == touches


def test_a_merge_makes_a_new_record_with_the_primarys_values(portal: Portal) -> None:
    first = portal.create("deals", {"dealname": "first", "amount": "1"}, at=MOMENT)
    second = portal.create("deals", {"dealname": "second", "description": "kept"})

    survivor = portal.merge("deals", first, second)
    again = portal.merge("deals", survivor, portal.ids()[0])

    truth = portal.truth()
    values = truth.live[again].properties
    assert (values["dealname"], values["description"]) == ("first", "kept")
    assert values["hs_merged_object_ids"] == ";".join(
        [first, second, survivor, portal_first(truth.merged, again, {first, second, survivor})]
    )
    assert truth.merged[first] == truth.merged[second] == truth.merged[survivor] == again
    assert not {first, second, survivor} & truth.live.keys()
    assert not {first, second, survivor} & truth.archived.keys()


def portal_first(merged: dict[str, str], survivor: str, known: set[str]) -> str:
    (rest,) = {old for old, new in merged.items() if new == survivor} - known
    return rest


def test_deleting_for_good_leaves_no_record(portal: Portal) -> None:
    deal = portal.ids()[0]

    portal.delete("deals", deal)

    truth = portal.truth()
    assert truth.deleted == {deal}
    assert deal not in truth.live
    assert not any(link.from_id == deal for link in portal.true_links())


def test_moving_a_deal_to_a_stage_recalculates(portal: Portal) -> None:
    deal = portal.create("deals", {"pipeline": "default", "dealstage": "closedwon"})

    values = portal.truth().live[deal].properties

    assert (values["hs_is_closed"], values["hs_is_closed_won"]) == ("true", "true")


def test_unlinking_and_linking_show_in_the_truth(portal: Portal) -> None:
    deal = portal.ids()[0]
    (link, *_) = [each for each in portal.true_links() if each.from_id == deal]

    portal.unlink("deals", deal, "contacts", link.to_id)

    assert not any((each.from_id, each.to_id) == (deal, link.to_id) for each in portal.true_links())


def test_mistakes_of_a_test_are_errors(portal: Portal) -> None:
    with pytest.raises(KeyError):
        portal.change("deals", 1, {})
    with pytest.raises(ValueError, match="exists"):
        portal.create("deals", id=portal.ids()[0])
    with pytest.raises(ValueError, match="No label"):
        portal.link("deals", 1, "contacts", 2, label="nobody")


def test_odd_values_come_on_demand() -> None:
    plain, odd = Portal.generate(200).truth(), Portal.generate(200, odd_values=True).truth()

    def values(name: str, *, of: dict[str, object]) -> set[object]:
        return {record.properties[name] for record in of.values()}  # type: ignore[attr-defined]

    assert "N/A" in values("custom_2", of={**odd.live})
    assert "N/A" not in values("custom_2", of={**plain.live})
    assert any(len(str(each)) == 65_536 for each in values("custom_1", of={**odd.live}))


def test_the_values_a_tap_stumbles_over_are_there() -> None:
    records = Portal.generate(300).truth().live.values()
    stamps = {record.created_at for record in records}
    numbers = {str(record.properties["amount"]) for record in records}
    choices = {record.properties["custom_4"] for record in records}

    assert any("." not in stamp for stamp in stamps)
    assert any(len(number) > 40 for number in numbers)
    assert {"", "None"} <= numbers
    assert any(each and ";" in each for each in choices)
    assert any(each and "retired_option" in each for each in choices)
