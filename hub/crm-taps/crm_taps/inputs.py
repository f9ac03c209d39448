"""The files that a run is given besides its settings: its catalog, its state."""

from __future__ import annotations

from typing import IO, Any

from singer_sdk.helpers._util import load_json
from singer_sdk.singerlib import Catalog

from crm_taps.errors import SettingsError, StateError


def read_catalog(file: IO[str] | None) -> Catalog | None:
    """The catalog of a file; None: there is no file.

    Raises:
        SettingsError: If it holds no Singer catalog.
    """
    if file is None:
        return None
    try:
        return Catalog.from_dict(load_json(file.read()))
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
