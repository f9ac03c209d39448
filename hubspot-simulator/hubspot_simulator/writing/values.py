"""What HubSpot makes of a written value: the value it keeps, or the fault it finds.

Codes and texts: HubSpot's guides to errors and properties, and validators' answers as writers of
other people logged them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hubspot_simulator.instants import iso, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator.account import Account
    from hubspot_simulator.properties import PropertyDefinition
    from hubspot_simulator.records import Records

DAY_MS = 86_400_000
PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
ADDRESS = re.compile(r"[^\s@;,<>]+@(?:[^\s@;,<>.]+\.)+(?P<top>[^\s@;,<>.]{2,})")
UNKNOWN_TOP_LEVEL = {"con", "cpm"}
STRICT_DATES_UNTIL = "2026-09"


@dataclass(frozen=True)
class Flaw:
    """One fault of one value, as it stands in `message` and in `errors`."""

    name: str
    code: str
    message: str

    def listed(self) -> dict[str, Any]:
        return {"isValid": False, "message": self.message, "error": self.code, "name": self.name}

    def detailed(self) -> dict[str, Any]:
        context = {"propertyName": [self.name]}
        return {"message": self.message, "code": self.code, "context": context}


class Refused(Exception):  # noqa: N818 - HubSpot's answer, not a mistake of ours
    """A value that HubSpot does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Checked:
    """What became of one record's written properties."""

    values: dict[str, str | None] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)


def check(
    account: Account,
    records: Records,
    written: dict[str, Any],
    *,
    before: dict[str, str | None],
    version: str,
) -> Checked:
    """Read the written properties of one record; `before` are the ones it has."""
    checked = Checked()
    for name, raw in written.items():
        definition = records.definitions.get(name)
        if definition is None or definition.archived:
            message = f'Property "{name}" does not exist'
            checked.flaws.append(Flaw(name, "PROPERTY_DOESNT_EXIST", message))
            continue
        if definition.read_only or definition.calculated:
            message = f'"{name}" is a read only property; its value cannot be set.'
            checked.flaws.append(Flaw(name, "READ_ONLY_VALUE", message))
            continue
        text = _text(raw)
        try:
            value = _kept(account, records, definition, text, before | checked.values, version)
        except Refused as refused:
            checked.flaws.append(Flaw(name, refused.code, str(refused)))
            continue
        if definition.type in {"date", "datetime"} and _was_normalised(definition, text):
            checked.warnings.append(_normalised(name, text, value))
        checked.values[name] = value
    return checked


def _text(raw: Any) -> str:
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return str(raw).lower()
    return str(raw)


def _kept(  # noqa: PLR0911 - one way a kind of value
    account: Account,
    records: Records,
    definition: PropertyDefinition,
    text: str,
    before: dict[str, str | None],
    version: str,
) -> str:
    name = definition.name
    if not text:
        return ""
    if records.type.name == "contacts" and name == "email":
        return _address(text)
    if name in {"dealstage", "hs_pipeline_stage", "pipeline", "hs_pipeline"}:
        return _stage(account, records, name, text, before)
    if name == "lifecyclestage":
        return _forward(definition, text, before.get(name) or "")
    if name == "hubspot_owner_id":
        return _owner(account, text)
    if definition.type == "date":
        return _date(text, version)
    if definition.type == "enumeration":
        return _options(definition, text, before.get(name) or "")
    if name in records.rules.only_letters and not text.isalpha():
        raise Refused("INVALID_ALPHA", "Enter only letters")
    return PLAIN.get(definition.type, str)(text)


def _address(text: str) -> str:
    found = ADDRESS.fullmatch(text)
    if found is None or found["top"].lower() in UNKNOWN_TOP_LEVEL:
        raise Refused("INVALID_EMAIL", f"Email address {text} is invalid")
    return text.lower()


def _number(text: str) -> str:
    """Keep plain digits; thousands separators and exponents are refused (since 2023-05-22)."""
    if not PLAIN_NUMBER.fullmatch(text):
        raise Refused("INVALID_NUMBER", f"{text} was not a valid number.")
    return text


def _date(text: str, version: str) -> str:
    if DATE.fullmatch(text):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise Refused("INVALID_DATE", f"{text} is not a valid date.") from None
        return text
    moment = parse_instant(text)
    if moment is None:
        raise Refused("INVALID_DATE", f"{text} was not a valid long.")
    is_strict = version.startswith("v") or version < STRICT_DATES_UNTIL
    if is_strict and moment % DAY_MS:
        at = datetime.fromtimestamp(moment / 1000, UTC)
        said = (
            f"{moment} is at {at.hour}:{at.minute}:{at.second}.{moment % 1000} UTC, not midnight!"
        )
        raise Refused("INVALID_DATE", said)
    return iso(moment - moment % DAY_MS)[:10]


def _datetime(text: str) -> str:
    moment = parse_instant(text)
    if moment is None:
        raise Refused("INVALID_DATE", f"{text} was not a valid long.")
    return iso(moment)


def _was_normalised(definition: PropertyDefinition, text: str) -> bool:
    return definition.type == "date" and bool(text) and not DATE.fullmatch(text)


def _normalised(name: str, raw: str, value: str) -> dict[str, Any]:
    return {
        "category": "PROPERTY_VALUE_NORMALIZED",
        "message": f"The value of {name} was normalized.",
        "context": {"propertyName": [name], "rawValue": [raw], "normalizedValue": [value]},
    }


def _option(text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        named = ", ".join(allowed)
        raise Refused("INVALID_OPTION", f"{text} was not one of the allowed options: [{named}]")
    return text


def _options(definition: PropertyDefinition, text: str, before: str) -> str:
    """`A;B` replaces, `;A` appends to what is there (HubSpot's guide to properties)."""
    chosen = [text] if not definition.multiple else [each for each in text.split(";") if each]
    if definition.options:
        for each in chosen:
            _option(each, definition.options)
    if definition.multiple and text.startswith(";"):
        chosen = [*filter(None, before.split(";")), *chosen]
    return ";".join(dict.fromkeys(chosen))


def _forward(definition: PropertyDefinition, text: str, before: str) -> str:
    """Move a lifecycle stage forward; backwards it silently stays (Segment compares the answer)."""
    _option(text, definition.options)
    if before in definition.options:
        order = definition.options.index
        return before if order(text) < order(before) else text
    return text


def _owner(account: Account, text: str) -> str:
    if not any(each.id == text for each in account.owners):
        raise Refused("INVALID_OWNER_ID", f"Owner {text} does not exist")
    return text


PLAIN: dict[str, Callable[[str], str]] = {
    "number": _number,
    "bool": lambda text: _option(text, ("true", "false")),
    "datetime": _datetime,
}


def _stage(
    account: Account, records: Records, name: str, text: str, before: dict[str, str | None]
) -> str:
    known = account.pipelines.get(records.type.name, [])
    if name in {"pipeline", "hs_pipeline"}:
        return _option(text, tuple(each.id for each in known))
    key = "pipeline" if name == "dealstage" else "hs_pipeline"
    wanted = before.get(key)
    stages = [stage.id for each in known if wanted in {None, "", each.id} for stage in each.stages]
    if text not in stages:
        told = " ".join(
            f"pipelineId={each.id} : [{', '.join(stage.id for stage in each.stages)}]"
            for each in known
        )
        raise Refused(
            "INVALID_OPTION", f"{text} is not a valid pipeline stage ID. Valid options are: {told}"
        )
    return text
