"""The settings of the READMEs' tables, and the tap's in meltano.yml, from their definitions.

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


def meltano_setting(name: str, schema: dict[str, Any]) -> str:
    """A setting as a line of meltano.yml."""
    kind = next(k for k in schema["type"] if k != "null")
    said = {"name": name, "kind": kind, "label": schema["title"]}
    if choices := [text for text in schema.get("enum", ()) if text is not None]:
        options = [{"label": text.capitalize(), "value": text} for text in choices]
        said |= {"kind": "options", "options": options}
    if schema.get("secret"):
        said["sensitive"] = True
    said["description"] = schema["description"].replace("`", "")
    pairs = (f"{key}: {json.dumps(value)}" for key, value in said.items())
    return f"        - {{{', '.join(pairs)}}}\n"


def meltano_project() -> str:
    """The text of meltano.yml with fresh settings of the tap."""
    settings = TapHubspotDeals.config_jsonschema["properties"].items()
    own = (meltano_setting(n, s) for n, s in settings if not n.startswith(SDK_SETTINGS))
    begin, end = "        # <settings>", "        # </settings>"
    text = (ROOT / "meltano.yml").read_text()
    return re.sub(
        f"({begin}[^\n]*\n).*?({end})", lambda m: m[1] + "".join(own) + m[2], text, flags=re.DOTALL
    )


if __name__ == "__main__":
    for each in PLUGINS:
        (FOLDERS[each] / "README.md").write_text(with_table(each))
    (ROOT / "meltano.yml").write_text(meltano_project())
