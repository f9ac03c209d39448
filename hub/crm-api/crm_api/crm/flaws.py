"""Knows what HubSpot's refusal of values means for a client: which of its own fields was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from hubspot_client.writing.batches import LISTED

from crm_api.errors import RefusedError, ValidationFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubspot_client.errors import ErrorBody

import json
import logging

_log = logging.getLogger(__name__)
# In HubSpot's words; its messages may quote values, and are not repeated.
_TOLD = {
    "INVALID_EMAIL": "HubSpot takes no such address",
    "INVALID_NUMBER": "HubSpot takes no such number",
    "INVALID_LONG": "HubSpot takes no such number",
    "INVALID_DATE": "HubSpot takes no such date",
    "INVALID_OPTION": "is none of HubSpot's options",
    "INVALID_ALPHA": "HubSpot takes letters only",
}


def flaws_of(body: ErrorBody) -> list[tuple[str, str]]:
    """Return property and code of each value that HubSpot refused; none where it was no value."""
    found = []
    for detail in body.errors:
        names = (detail.get("context") or {}).get("propertyName") or []
        found += [(str(name), str(detail.get("code") or "INVALID")) for name in names]
    if not found and body.message.startswith(LISTED):
        try:
            listed = json.loads(body.message.removeprefix(LISTED))
            found = [(str(each["name"]), str(each.get("error") or "INVALID")) for each in listed]
        except (ValueError, LookupError, TypeError, AttributeError):
            return []
    return found


def refuse(flaws: Iterable[tuple[str, str]], fields: Mapping[str, str]) -> NoReturn:
    """Tell the client what is wrong with its fields.

    Args:
        flaws: Property and code of each.
        fields: The client's name of each property that it may set.

    Raises:
        ValidationFailedError: All of them are the client's.
        RefusedError: One is a rule for something else; the text names it.
    """
    details: dict[str, list[str]] = {}
    for name, code in flaws:
        if name not in fields or code == "PROPERTY_DOESNT_EXIST":
            _log.error("hubspot refused: a rule of the property %s (%s)", name, code)
            raise RefusedError(f"HubSpot refused the request: rule {code} of the property {name}")
        details.setdefault(fields[name], []).append(_TOLD.get(code, f"HubSpot refused it ({code})"))
    raise ValidationFailedError(details=details)
