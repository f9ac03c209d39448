"""What the plugins have in common is written in each of them, and is the same in all."""

from __future__ import annotations

import ast

import pytest
from harness.meltano import ROOT

PLUGINS = {
    "tap-hubspot-deals/tap_hubspot_deals",
    "target-deals-postgres/target_deals_postgres",
    "hub/crm-taps/crm_taps",
    "hub/target-hubspot/target_hubspot",
}


def functions(plugin: str, module: str) -> dict[str, str]:
    """The functions of a module as they stand there, by name."""
    tree = ast.parse((ROOT / plugin / f"{module}.py").read_text())
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name: ast.unparse(node) for node in found}


@pytest.mark.parametrize("module", ["environment", "process", "stream_maps"])
def test_what_starts_a_plugin_is_the_same_text_in_all(module: str) -> None:
    of_all = [functions(plugin, module) for plugin in sorted(PLUGINS)]

    for name in set().union(*of_all):
        assert len({found[name] for found in of_all if name in found}) == 1, name
    assert len(set.intersection(*(set(found) for found in of_all))) > 1


def test_each_plugin_leaves_its_log_alike() -> None:
    assert len({functions(plugin, "ending")["leave_log"] for plugin in PLUGINS}) == 1
