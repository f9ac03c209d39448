"""Settings say what they do; former names and unset values work; nothing is taken in silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import Mirroring, config_for, read, run, signals_kept
from singer_sdk.exceptions import ConfigValidationError
from tap_hubspot_deals import settings as tap_settings
from tap_hubspot_deals.settings import TABLE, parse, validate
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from pathlib import Path

    from hubspot_simulator import Simulator

OFFLINE: dict[str, Any] = {"access_token": "pat-na1-x", "tenant_id": "acme"}


@pytest.mark.parametrize(
    ("former", "name", "value"),
    [
        ("start_date", "created_from", "2025-01-01"),
        ("end_date", "created_until", "2025-01-01"),
        ("association_refresh_hours", "full_refresh_hours", 7),
    ],
)
def test_a_former_name_means_the_same(former: str, name: str, value: Any) -> None:
    config, old = {**OFFLINE, name: value}, {**OFFLINE, former: value}
    assert validate(config) == validate(old) == []
    new_settings, old_settings = (tap_settings.parse_objects(c)[0] for c in (config, old))
    assert new_settings == old_settings != tap_settings.parse_objects(OFFLINE)[0]
    assert tap_settings.former_names(config) == []
    assert len(tap_settings.former_names(old)) == 1


def test_a_former_name_works_inside_objects() -> None:
    item = {"name": "contacts", "start_date": "2025-01-01"}
    new = {"name": "contacts", "created_from": "2025-01-01"}
    configs = [{**OFFLINE, "objects": [each]} for each in (item, new)]
    assert [validate(c) for c in configs] == [[], []]
    assert tap_settings.parse_objects(configs[0]) == tap_settings.parse_objects(configs[1])


def test_two_names_of_one_setting_are_refused() -> None:
    found = validate({**OFFLINE, "start_date": "2025-01-01", "created_from": "2025-02-01"})
    assert any("`start_date`" in f and "`created_from`" in f for f in found)


def test_a_former_name_is_told_once(hubspot: Simulator, tmp_path: Path) -> None:
    output = run(tmp_path, config_for(hubspot, start_date="2000-01-01"))
    assert output.code == 0
    assert output.log.count("`start_date` is called `created_from` now") == 1
    assert len(output.ids()) == 250


def test_a_state_survives_the_new_name(mirroring: Mirroring) -> None:
    mirroring.run(start_date="2000-01-01")
    output = mirroring.run(created_from="2000-01-01")
    assert output.ids() == []


@pytest.mark.parametrize("name", ["created_from", "created_until", "start_date", "end_date"])
def test_a_date_says_first_that_it_is_of_creation(name: str) -> None:
    description = tap_settings.CONFIG_SCHEMA["properties"][name]["description"]
    assert description.startswith("Only deals created ")


@pytest.mark.parametrize("setting", [s for s in TABLE if not s.required], ids=lambda s: s.name)
def test_an_unset_setting_is_its_default(setting: tap_settings.Setting) -> None:
    if setting.name == "access_token":
        return
    config = {**OFFLINE, setting.name: None}
    assert validate(config) == []
    assert parse(config) == parse(OFFLINE)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("properties", ["nonsense"]),
        ("created_from", "2999-01-01"),
        ("start_date", "2999-01-01"),
        ("archived", True),
        ("associations", ["tickets"]),
    ],
)
def test_a_setting_of_deals_without_deals_is_refused(setting: str, value: Any) -> None:
    found = validate({**OFFLINE, "objects": ["contacts"], setting: value})
    assert any(f"`{setting}` is a setting of deals" in fault for fault in found), found
    assert validate({**OFFLINE, "objects": ["contacts"]}) == []


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("INCLUDE_RAW", "nonsense", "`include_raw` .* is 'nonsense', which is no true or false"),
        ("PAGE_SIZE", "abc", "`page_size` .* is 'abc', which is no whole number"),
        ("PAGE_SIZE", "--5", "`page_size` .* is '--5', which is no whole number"),
        ("OBJECTS", "deals,contacts", "`objects` .* is 'deals,contacts', which is no JSON list"),
        ("OBJECTS", '["deals"', "`objects` .* is no JSON list"),
        ("STREAM_MAPS", "deals", "`stream_maps` .* is 'deals', which is no JSON object"),
    ],
)
def test_a_setting_of_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, sentence: str
) -> None:
    monkeypatch.setenv(f"TAP_HUBSPOT_DEALS_{variable}", text)
    with signals_kept(), pytest.raises(ConfigValidationError) as refused:
        TapHubspotDeals(config={}, parse_env_config=True)
    [told] = refused.value.errors
    assert re.search(sentence, told)


def test_settings_of_the_environment_are_taken(hubspot: Simulator, tmp_path: Path) -> None:
    environment = {
        "TAP_HUBSPOT_DEALS_INCLUDE_RAW": "TRUE",
        "TAP_HUBSPOT_DEALS_PAGE_SIZE": "50",
        "TAP_HUBSPOT_DEALS_OBJECTS": '["deals"]',
        "TAP_HUBSPOT_DEALS_ASSOCIATIONS": '["contacts"]',
    }
    output = run(tmp_path, config_for(hubspot), "--config", "ENV", environment=environment)
    assert output.code == 0
    assert "raw" in output.records()[0]
    assert output.records()[0]["associations"].keys() == {"contacts"}


def test_a_word_for_no_object_type_is_refused_at_once(hubspot: Simulator) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        read(config_for(hubspot, objects=["contacts"], properties=["dealname"]))
    assert "`properties` is a setting of deals" in raised.value.errors[0]
