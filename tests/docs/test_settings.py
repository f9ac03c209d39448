"""meltano.yml, the READMEs and the plugins speak of the same settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from harness.meltano import ROOT
from harness.settings_table import FOLDERS, PLUGINS, defined, meltano_project, with_table

SDK_ONLY = {"faker_config", "flattening_max_key_length", "flattening_separator", "batch_config"}
"""Settings of the SDK that we neither need nor forbid."""


def described(name: str) -> dict[str, dict[str, Any]]:
    """A plugin's settings as meltano.yml describes them."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())
    plugins = project["plugins"]["extractors"] + project["plugins"]["loaders"]
    plugin = next(p for p in plugins if p["name"] == name)
    return {setting["name"]: setting for setting in plugin["settings"]}


@pytest.mark.parametrize("name", PLUGINS)
def test_meltano_yml_describes_every_setting_and_no_other(name: str) -> None:
    unused = SDK_ONLY | {s for s in described(name) if s.startswith("flattening_")}

    assert described(name).keys() - unused == defined(name).keys() - unused - {
        s for s in defined(name) if s.startswith("flattening_")
    }


@pytest.mark.parametrize("name", PLUGINS)
def test_every_described_setting_has_label_kind_and_description(name: str) -> None:
    lacking = [
        setting["name"]
        for setting in described(name).values()
        if not {"label", "kind", "description"} <= setting.keys()
    ]

    assert lacking == []


@pytest.mark.parametrize("name", PLUGINS)
def test_secret_settings_are_sensitive_in_meltano_yml(name: str) -> None:
    secret = {n for n, schema in defined(name).items() if schema.get("secret")}

    assert {n for n, s in described(name).items() if s.get("sensitive")} == secret


@pytest.mark.parametrize("name", PLUGINS)
def test_the_readme_lists_every_setting(name: str) -> None:
    text = (FOLDERS[name] / "README.md").read_text()

    assert [n for n in described(name) if f"`{n}`" not in text] == []


def test_the_taps_settings_in_meltano_yml_are_fresh() -> None:
    assert (ROOT / "meltano.yml").read_text() == meltano_project()


@pytest.mark.parametrize("name", PLUGINS)
def test_the_settings_table_of_the_readme_is_fresh(name: str) -> None:
    assert (FOLDERS[name] / "README.md").read_text() == with_table(name)
