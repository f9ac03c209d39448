"""The page of the taps, meltano.yml and the taps themselves speak of the same settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from harness.meltano import ROOT
from harness.vendors.settings_table import PAGE, TAPS, defined, with_tables

PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text())
PLUGINS = {plugin["name"]: plugin for plugin in PROJECT["plugins"]["extractors"]}


def described(name: str) -> dict[str, dict[str, Any]]:
    return {setting["name"]: setting for setting in PLUGINS[name]["settings"]}


def test_the_settings_tables_are_fresh() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text())


@pytest.mark.parametrize("name", TAPS)
def test_meltano_yml_describes_every_setting_and_hides_the_secrets(name: str) -> None:
    ours = {n: s for n, s in described(name).items() if n in defined(name)}
    rest = described(name).keys() - ours.keys()

    assert ours.keys() == defined(name).keys()
    assert rest == {"stream_maps", "stream_map_config"}
    assert {n for n, s in ours.items() if s.get("sensitive")} == {
        n for n, s in defined(name).items() if s.get("secret")
    }
    assert all({"label", "kind", "description"} <= s.keys() for s in ours.values())


@pytest.mark.parametrize("name", TAPS)
def test_the_page_and_the_hub_s_page_name_every_stream(name: str) -> None:
    hub = (ROOT / "docs" / "hub.md").read_text()
    streams = [vars(each)["name"] for each in TAPS[name].stream_types]

    assert [s for s in streams if f"`{s}`" not in PAGE.read_text()] == []
    assert [s for s in streams if f"`{s}`" not in hub] == []


@pytest.mark.parametrize("name", TAPS)
def test_a_job_runs_each_tap(name: str) -> None:
    tasks = [task for job in PROJECT["jobs"] for task in job["tasks"]]

    assert f"{name} target-deals-postgres" in tasks
