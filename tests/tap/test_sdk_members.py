"""What the tap uses of the SDK's own business stands in one module, and is still there."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import singer_sdk.plugin_base
import singer_sdk.streams.core
import singer_sdk.tap_base
import tap_hubspot_deals
from singer_sdk import Stream, Tap
from tap_hubspot_deals import sdk

PACKAGE = Path(tap_hubspot_deals.__file__).parent
SDK = (singer_sdk.streams.core, singer_sdk.tap_base, singer_sdk.plugin_base)


def private(names: set[str]) -> set[str]:
    return {n for n in names if n.startswith("_") and not n.startswith("__")}


def uses(source: str) -> set[str]:
    """The private members that code asks an object for, or defines as methods."""
    nodes = list(ast.walk(ast.parse(source)))
    asked = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    return private(asked | {n.name for n in nodes if isinstance(n, ast.FunctionDef)})


IN_THE_SDK = {name for module in SDK for name in uses(inspect.getsource(module))}


@pytest.mark.parametrize("name", sorted(uses(inspect.getsource(sdk))))
def test_every_private_member_that_is_used_is_there(name: str) -> None:
    assert name in IN_THE_SDK


@pytest.mark.parametrize(
    "name",
    [
        "_sync_records",
        "_generate_schema_messages",
        "_write_activate_version_message",
        "_validate_config",
        "_handle_termination",
    ],
)
def test_the_sdk_still_calls_what_is_put_in_its_place(name: str) -> None:
    called = {
        node.func.attr
        for module in SDK
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    handed_on = "signal.signal(signal.SIGINT, self._handle_termination)"
    assert name in called or handed_on in inspect.getsource(singer_sdk.plugin_base)


def test_no_other_module_touches_what_the_sdk_keeps_to_itself() -> None:
    hidden = private({*dir(Stream), *dir(Tap)})
    for path in PACKAGE.rglob("*.py"):
        if path != Path(sdk.__file__):
            assert not uses(path.read_text()) & hidden, path


def test_no_other_module_imports_private_modules_of_the_sdk() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("singer_sdk"):
                hidden = any(part.startswith("_") for part in (node.module or "").split("."))
                assert not hidden or path == Path(sdk.__file__), path
