"""The settings tables of the page of `crm-taps`, from the settings' own definitions.

`python -m harness.vendors.settings_table` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import Any

from crm_taps import settings
from crm_taps.tap import SourceTap

from harness.meltano import ROOT

PAGE = ROOT / "hub" / "crm-taps" / "README.md"
COMMON = settings.schema(base_url="", own={}, required=())["properties"]
for _point in entry_points(group="console_scripts"):
    if _point.value.startswith("crm_taps."):
        _point.load()
TAPS: dict[str, type[SourceTap]] = {
    each.name: each for each in sorted(SourceTap.__subclasses__(), key=lambda tap: tap.name)
}


def own(name: str) -> dict[str, dict[str, Any]]:
    """The settings that only this tap has."""
    schema = TAPS[name].config_jsonschema
    return {n: s for n, s in schema["properties"].items() if n not in COMMON and _ours(n)}


def defined(name: str) -> dict[str, dict[str, Any]]:
    """All settings of a tap but those of the SDK."""
    return {n: s for n, s in TAPS[name].config_jsonschema["properties"].items() if _ours(n)}


def _ours(name: str) -> bool:
    return not name.startswith(("stream_map", "flattening_", "faker_config"))


def table(properties: dict[str, dict[str, Any]], required: list[str]) -> str:
    """A Markdown table of settings."""
    lines = ["| setting | default | |", "|---|---|---|"]
    for name, schema in properties.items():
        default = f"`{json.dumps(schema['default'])}`" if schema.get("default") else ""
        default = "required" if name in required else default
        lines.append(f"| `{name}` | {default} | {schema['description']} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The page with fresh tables."""
    tables = {"common": table(COMMON, ["tenant_id"])}
    for name, tap in TAPS.items():
        tables[name] = table(own(name), tap.config_jsonschema["required"])
    for name, fresh in tables.items():
        if f"<!-- settings: {name} -->" not in text:
            raise KeyError(name)
        before, begin, rest = text.partition(f"<!-- settings: {name} -->")
        _, end, after = rest.partition("<!-- /settings -->")
        text = f"{before}{begin}\n{fresh}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
