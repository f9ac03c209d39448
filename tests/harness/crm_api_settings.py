"""The settings table of the CRM API's page, made from the code."""

from __future__ import annotations

from crm_api.settings import PREFIX, Settings
from pydantic_core import PydanticUndefined

from harness.meltano import ROOT

README = ROOT / "hub/crm-api/README.md"
HEAD = "| setting | default | what it does |\n|---|---|---|\n"


def table() -> str:
    """The table, as the README has it."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is PydanticUndefined:
            shown = "required"
        elif default is None:
            shown = ""
        else:
            shown = f"`{_shown(default)}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return HEAD + "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, dict):
        return "the usual ones"
    return str(getattr(default, "text", default))


def with_table() -> str:
    """The README with a fresh table."""
    text = README.read_text(encoding="utf-8")
    start = text.index("is an environment variable `CRM_API_<NAME>`.\n\n") + len(
        "is an environment variable `CRM_API_<NAME>`.\n\n"
    )
    end = text.index("\n`SECRET_KEY`")
    return text[:start] + table() + text[end:]


if __name__ == "__main__":
    README.write_text(with_table(), encoding="utf-8")
