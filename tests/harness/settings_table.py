"""The settings tables of the READMEs, from the settings' own definitions.

`python -m harness.settings_table` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tap_hubspot_deals.tap import TapHubspotDeals
from target_deals_postgres.target import TargetDealsPostgres
from target_hubspot.target import TargetHubSpot

from harness.meltano import ROOT

PLUGINS: dict[str, Any] = {
    "tap-hubspot-deals": TapHubspotDeals,
    "target-deals-postgres": TargetDealsPostgres,
    "target-hubspot": TargetHubSpot,
}
FOLDERS = {name: ROOT / name for name in PLUGINS} | {"target-hubspot": ROOT / "hub/target-hubspot"}
SDK_SETTINGS = ("stream_map", "flattening_", "faker_config", "batch_config")
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def defined(plugin: str) -> dict[str, dict[str, Any]]:
    """A plugin's settings as it defines them, the SDK's included."""
    schema = PLUGINS[plugin].config_jsonschema
    PLUGINS[plugin].append_builtin_config(schema)
    return dict(schema["properties"])


def table(plugin: str) -> str:
    """A Markdown table of a plugin's own settings."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for name, schema in PLUGINS[plugin].config_jsonschema["properties"].items():
        if name.startswith(SDK_SETTINGS):
            continue
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
        if name in PLUGINS[plugin].config_jsonschema.get("required", []):
            default = "required"
        rows.append(f"| `{name}` | {default} | {schema['description']} |")
    return "\n".join(rows)


def with_table(plugin: str) -> str:
    """The text of a plugin's README with a fresh table."""
    text = (FOLDERS[plugin] / "README.md").read_text()
    fresh = f"{BEGIN}\n{table(plugin)}\n{END}"
    return re.sub(f"{BEGIN}.*{END}", lambda _: fresh, text, flags=re.DOTALL)


if __name__ == "__main__":
    for each in PLUGINS:
        (FOLDERS[each] / "README.md").write_text(with_table(each))
