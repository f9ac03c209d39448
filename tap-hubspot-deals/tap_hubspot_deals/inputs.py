"""The files that a run is given: its settings, its catalog, its state.

What cannot be used is refused with a sentence, before anything is asked of HubSpot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib import Catalog

from tap_hubspot_deals.catalogs import reduced
from tap_hubspot_deals.ending import SettingsError, StateError
from tap_hubspot_deals.sdk import ConfigInput, load_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO


def read_config(paths: Sequence[str]) -> ConfigInput:
    """The settings in files, those of later ones before those of earlier ones.

    Args:
        paths: Of the files; `ENV` stands for the environment, which is read later.

    Raises:
        SettingsError: If one of the files cannot be read, or holds no JSON object.
    """
    try:
        return ConfigInput.from_cli_args(*paths)
    except (OSError, TypeError, ValueError) as exc:
        raise SettingsError(f"A file of --config cannot be read as a JSON object: {exc}") from exc


def read_catalog(file: IO[str] | None) -> Catalog | None:
    """The catalog of a file; None: there is no file.

    Raises:
        SettingsError: If it holds no Singer catalog.
    """
    if file is None:
        return None
    try:
        return Catalog.from_dict({"streams": reduced(load_json(file.read()))["streams"]})
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as exc:
        sentence = (
            f"The file of --catalog holds no Singer catalog ({type(exc).__name__}): "
            "make it again with --discover."
        )
        raise SettingsError(sentence) from exc


def read_state(file: IO[str] | None) -> dict[str, Any] | None:
    """The state of a file; None: there is no file.

    Raises:
        StateError: If it holds no JSON object.
    """
    if file is None:
        return None
    try:
        found: Any = load_json(file.read())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise StateError("The file of --state holds no JSON object. Mend it, or run without state.")
    return found
