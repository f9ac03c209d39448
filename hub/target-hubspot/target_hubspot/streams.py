"""One stream: which object type it is, what identifies a record, which field is which property."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubspot_client.object_types import STANDARD_TYPES
from hubspot_client.writing.plan import ID_NAMES, RECORD_ID, Plan, definitions

from target_hubspot.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubspot_client.client import Client

    from target_hubspot.settings import Settings, StreamSettings

OURS = ("_tenant_id", "_scan_id", "_organization_id")
"""Fields of tap-hubspot-deals that say whose a record is."""

LINKS = "_associations"
LINK_STREAM = "associations"
EXPANDED = "custom_properties"
"""The field in which tap-hubspot-deals keeps an account's own properties."""

DELETED = "_sdc_deleted_at"


def is_sent(name: str) -> bool:
    """Whether a field is data, and not about the record or the tap."""
    return not name.startswith("_sdc_") and name not in OURS and name != LINKS


@dataclass
class Stream:
    """How one stream becomes records of one object type.

    Args:
        name: The stream's, for people.
        plan: What is written, checked.
        columns: Property by field.
        key_field: The field with the key; None: there is none.
    """

    name: str
    plan: Plan
    columns: Mapping[str, str]
    key_field: str | None
    expanded: Mapping[str, str] = field(default_factory=dict)

    def row(self, record: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Split a record into its key and its properties."""
        properties = {
            name: record[source] for source, name in self.columns.items() if source in record
        }
        nested = record.get(EXPANDED)
        if self.expanded and isinstance(nested, dict):
            properties |= {
                name: nested[source] for source, name in self.expanded.items() if source in nested
            }
        return (None if self.key_field is None else record.get(self.key_field)), properties


def make_stream(
    client: Client,
    settings: Settings,
    name: str,
    schema: Mapping[str, Any],
    key_properties: Sequence[str],
) -> Stream:
    """Plan a stream by its SCHEMA, its settings and the account's definitions.

    Args:
        client: The conversation.
        settings: The run's.
        name: The stream's.
        schema: Its JSON schema.
        key_properties: What the tap names as its key.

    Raises:
        SettingsError: If the stream cannot be written so; everything that is wrong is named.
        PlanError: If it does not fit the account.
        HubSpotError: If the account cannot be read.
    """
    chosen = settings.streams.get(name)
    object_type = (chosen.object if chosen else None) or name
    fields = [each for each in schema.get("properties", {}) if is_sent(each)]
    columns = _columns(name, chosen, fields)
    mode = (chosen.sync_mode if chosen else None) or settings.sync_mode
    key, key_field = _key(name, chosen, columns, key_properties, mode)
    if key == RECORD_ID and mode == "upsert":
        mode = "update"
    path = STANDARD_TYPES[object_type].in_paths if object_type in STANDARD_TYPES else object_type
    plan = Plan(
        path,
        definitions(client, path, object_type),
        mode=mode,
        key=key,
        clears=settings.clears,
        resets_lifecycle=settings.resets_lifecycle,
        newer=chosen.only_newer if chosen else None,
    )
    expanded = _expanded(chosen, schema)
    columns = {
        source: target
        for source, target in columns.items()
        if source != key_field and not (expanded and source == EXPANDED)
    }
    plan.check([*columns.values(), *expanded.values()], unknown=settings.unknown_properties)
    return Stream(name, plan, columns, key_field, expanded)


def _columns(name: str, chosen: StreamSettings | None, fields: list[str]) -> dict[str, str]:
    if chosen is None or chosen.columns is None:
        return {each: each for each in fields}
    missing = sorted(chosen.columns.keys() - set(fields))
    if missing:
        raise SettingsError(
            f"`streams.{name}.columns` names fields that the stream does not have: "
            f"{', '.join(missing)}."
        )
    return dict(chosen.columns)


def _expanded(chosen: StreamSettings | None, schema: Mapping[str, Any]) -> dict[str, str]:
    if chosen is not None and chosen.columns is not None:
        return {}
    nested = (schema.get("properties", {}).get(EXPANDED) or {}).get("properties") or {}
    return {each: each for each in nested}


def _key(
    name: str,
    chosen: StreamSettings | None,
    columns: Mapping[str, str],
    key_properties: Sequence[str],
    mode: str,
) -> tuple[str | None, str | None]:
    """The key property, and the field that holds it."""
    if chosen is not None and chosen.key is not None:
        key = RECORD_ID if chosen.key in ID_NAMES else chosen.key
        sources = [source for source, target in columns.items() if target in {chosen.key, key}]
        if not sources:
            raise SettingsError(
                f"`streams.{name}.key` is {chosen.key}, and no field of the stream is that "
                "property: name it in `columns`."
            )
        return key, sources[0]
    fields = [each for each in key_properties if is_sent(each)]
    if len(fields) == 1:
        target = columns.get(fields[0], fields[0])
        return (RECORD_ID if target in ID_NAMES else target), fields[0]
    if mode == "create":
        return None, None
    raise SettingsError(
        f"The stream {name} has {'no key' if not fields else 'several key properties'}, and "
        f"HubSpot finds records by one: name a unique property in `streams.{name}.key`, or use "
        "`sync_mode` create."
    )
