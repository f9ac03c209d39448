"""Knows the Meltano project of a run: what the project says of the run's two plugins, and no more.

Meltano reads its whole file at every start and looks up each setting of a plugin several times, by
every name that it may have; most of a small scan's time went into settings that no scan has.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ROOM = "plugins"
_OTHERS = frozenset({_ROOM, "jobs", "schedules"})
_ROOT = "MELTANO_PROJECT_ROOT"


def cut(root: Path, plugins: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """Return a `meltano.yml` (as JSON) that a run can do with, or None if it needs the whole one.

    Args:
        root: folder of the whole one.
        plugins: `extractors` and `loaders`: the name of the one of each that the run has.
        environment: of the run; settings that it does not name keep no more than their values.
    """
    path = root / "meltano.yml"
    whole = _read(path, path.stat().st_mtime)
    kept: dict[str, Any] = {}
    for kind, name in plugins.items():
        found = [each for each in whole.get(_ROOM, {}).get(kind, ()) if each.get("name") == name]
        if len(found) != 1 or "inherit_from" in found[0]:
            return None
        kept[kind] = [_plugin(found[0], root, environment, whole.get("environments"))]
    if "include_paths" in whole:
        return None
    rest = {name: said for name, said in whole.items() if name not in _OTHERS}
    text = json.dumps({**rest, _ROOM: kept}, default=str)
    for name in ("${" + _ROOT + "}", "$" + _ROOT):
        text = text.replace(name, json.dumps(str(root))[1:-1])
    return text


@lru_cache(maxsize=1)
def _read(path: Path, changed: float) -> dict[str, Any]:  # noqa: ARG001 - a changed file is read again
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    whole: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - safe
    return whole


def _plugin(
    whole: Mapping[str, Any], root: Path, environment: Mapping[str, str], environments: Any
) -> dict[str, Any]:
    """Return a plugin with the settings that matter: others have no value at all."""
    prefix = whole["name"].upper().replace("-", "_")
    plugin = {name: said for name, said in whole.items() if name != "settings_group_validation"}
    configured = {*_names(plugin.get("config")), *_names(environments)}
    plugin["settings"] = [
        setting
        for setting in plugin.get("settings", ())
        if setting.keys() & {"value", "env", "aliases"}
        or setting["name"].partition(".")[0] in configured
        or f"{prefix}_{setting['name'].upper().replace('.', '_')}" in environment
    ]
    if "/" in (executable := plugin.get("executable", "")):
        plugin["executable"] = str(root / executable)
    return plugin


def _names(said: Any) -> Iterator[str]:
    """Return all names in a configuration, however deep; of `a.b` the `a`."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield str(name).partition(".")[0]
            yield from _names(value)
    elif isinstance(said, list):
        for value in said:
            yield from _names(value)
