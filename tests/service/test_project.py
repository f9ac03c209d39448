"""The Meltano project of a run: what the whole one says of its two plugins, and no more."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import yaml
from scan_service.pipeline.project import cut
from service.kit import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PLUGINS = {"extractors": "tap-a", "loaders": "target-b"}
WHOLE: dict[str, Any] = {
    "project_id": "1",
    "environments": [
        {"name": "prod", "config": {"plugins": {"extractors": [
            {"name": "tap-a", "config": {"of_prod": "yes"}}]}}},
    ],
    "plugins": {
        "extractors": [
            {
                "name": "tap-a",
                "executable": ".venv/bin/tap-a",
                "config": {"maps": "${MELTANO_PROJECT_ROOT}/maps.json", "nested.one": 1},
                "settings": [
                    {"name": name}
                    for name in ("maps", "nested.one", "of_prod", "said", "api.size", "nobody's")
                ] + [{"name": "has_default", "value": 7}, {"name": "has_name", "env": "OTHER"}],
            },
            {"name": "tap-other", "settings": [{"name": "x"}]},
        ],
        "loaders": [{"name": "target-b", "executable": "target-b", "settings": [{"name": "y"}]}],
        "utilities": [{"name": "u"}],
    },
    "jobs": [{"name": "all", "tasks": ["tap-other target-b"]}],
}  # fmt: skip
SAID = {"TAP_A_SAID": "1", "TAP_A_API_SIZE": "2"}


def written(folder: Path, whole: dict[str, Any]) -> Path:
    (folder / "meltano.yml").write_text(yaml.safe_dump(whole))
    return folder


def test_a_run_gets_its_two_plugins_with_the_settings_that_have_a_value(tmp_path: Path) -> None:
    text = cut(written(tmp_path, WHOLE), PLUGINS, SAID)
    assert text is not None
    found = json.loads(text)

    assert found.keys() == {"project_id", "environments", "plugins"}
    assert found["environments"] == WHOLE["environments"]
    (tap,) = found["plugins"]["extractors"]
    (target,) = found["plugins"]["loaders"]
    assert [each["name"] for each in tap["settings"]] == [
        "maps", "nested.one", "of_prod", "said", "api.size", "has_default", "has_name",
    ]  # fmt: skip
    assert tap["config"] == {"maps": f"{tmp_path}/maps.json", "nested.one": 1}
    assert tap["executable"] == f"{tmp_path}/.venv/bin/tap-a"
    assert target["executable"] == "target-b"
    assert target["settings"] == []


def test_a_changed_project_is_read_again(tmp_path: Path) -> None:
    cut(written(tmp_path, WHOLE), PLUGINS, SAID)
    path = written(tmp_path, {**WHOLE, "project_id": "2"}) / "meltano.yml"
    os.utime(path, (1, 1))
    assert json.loads(cut(tmp_path, PLUGINS, SAID) or "{}")["project_id"] == "2"


def test_a_project_of_several_files_or_of_plugins_that_inherit_is_left_whole(
    tmp_path: Path,
) -> None:
    assert cut(written(tmp_path, {**WHOLE, "include_paths": ["more.yml"]}), PLUGINS, SAID) is None
    assert cut(tmp_path, {"extractors": "tap-nowhere"}, SAID) is None


def test_this_projects_own_file_shrinks() -> None:
    plugins = {"extractors": "tap-hubspot-deals", "loaders": "target-deals-postgres"}
    text = cut(ROOT, plugins, {"TAP_HUBSPOT_DEALS_TENANT_ID": "t"})
    assert text is not None
    assert len(text) < len((ROOT / "meltano.yml").read_text()) / 5
    assert json.loads(text)["plugins"]["extractors"][0]["settings"] == [
        setting
        for setting in yaml.safe_load((ROOT / "meltano.yml").read_text())["plugins"]["extractors"][
            0
        ]["settings"]
        if setting["name"] in ("tenant_id", "emit_activate_version_messages")
    ]
