"""The tap's settings: one table of their names, types, bounds and words, and what is made of them.

A new setting is a line of `TABLE` and a field of `Settings`. One that each object type may have for
itself says so by `in_objects`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hubspot_client.access import API_VERSION, BASE_URL, Access
from hubspot_client.clock import milliseconds, parse_time
from hubspot_client.object_types import DEALS
from hubspot_client.paths import DATED, LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PAGE_SIZE = 100
DATE_ONLY = re.compile(r"^\d{4}-\d{2}-\d{2}$")
DAY_MS = 24 * 60 * 60 * 1000
TEXT, FLAG, NUMBER = "string", "boolean", "integer"
NAMES = "array"
"""A list of texts."""

ALL = "all"
"""What stands for every name, in a list that may say so."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        name: What people write.
        type: Its JSON type.
        title: For forms.
        description: One or two sentences.
        default: What stands where nothing is written.
        secret: Whether it must not be shown.
        required: Whether a run needs it.
        bounds: The least and the greatest number.
        choices: The only texts allowed.
        in_objects: What it is called in an item of `objects`; None: it is the same for all types.
        former: What it was called before, also in an item of `objects`; that still works.
        field: The field of `Settings` that it becomes, where that has another name.
        read: Makes the final value; None: the value is final.
        or_all: Whether the text `all` may stand in place of a list.
    """

    name: str
    type: str
    title: str
    description: str
    default: Any = None
    secret: bool = False
    required: bool = False
    bounds: tuple[int, int] | None = None
    choices: tuple[str, ...] = ()
    in_objects: str | None = None
    former: str = ""
    field: str = ""
    read: Callable[[Any], Any] | None = None
    or_all: bool = False

    def schema(self, name: str) -> dict[str, Any]:
        """The JSON schema of its values."""
        schema: dict[str, Any] = {"type": [self.type, "null"]}
        if self.required:
            schema["type"] = [self.type]
        if self.type == NAMES:
            schema["items"] = {"type": TEXT}
        if self.or_all:
            schema["type"] = [self.type, TEXT, "null"]
        if name == "objects":
            schema["items"] = _item_schema()
        if self.choices:
            schema["enum"] = [*self.choices, None]
        return schema

    def value(self, written: Any) -> Any:
        """The final value of what is written; the default's where nothing is."""
        chosen = self.default if written is None or written == "" else written
        return chosen if self.read is None else self.read(chosen)


def _start(text: str | None) -> int | None:
    """The first millisecond included."""
    return None if text is None else milliseconds(parse_time(text))


def _end(text: str | None) -> int | None:
    """The last millisecond included: of the day for a date, of the instant for a time."""
    if text is None:
        return None
    return milliseconds(parse_time(text)) + (DAY_MS - 1 if DATE_ONLY.match(text) else 0)


def _distinct(names: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names or ()))


def _some_or_all(names: list[str] | str | None) -> tuple[str, ...]:
    listed = _listed(names)
    return (ALL,) if ALL in listed else _distinct(listed)


TABLE: tuple[Setting, ...] = (
    Setting(
        "access_token",
        TEXT,
        "Access token",
        "Private app token or service key. Either this, or the three OAuth settings.",
        secret=True,
    ),
    Setting(
        "client_id",
        TEXT,
        "OAuth client ID",
        "With `client_secret` and `refresh_token`, instead of `access_token`.",
    ),
    Setting(
        "client_secret",
        TEXT,
        "OAuth client secret",
        "With `client_id` and `refresh_token`.",
        secret=True,
    ),
    Setting(
        "refresh_token",
        TEXT,
        "OAuth refresh token",
        "With `client_id` and `client_secret`.",
        secret=True,
    ),
    Setting(
        "tenant_id",
        TEXT,
        "Tenant",
        "Whose HubSpot account this is; `_tenant_id` of every record and key.",
        required=True,
    ),
    Setting(
        "organization_id", TEXT, "Organization", "`_organization_id` of every record, when set."
    ),
    Setting(
        "scan_id",
        TEXT,
        "Scan",
        "`_scan_id` of every record and key, when set: makes the run a snapshot.",
    ),
    Setting(
        "objects",
        NAMES,
        "Objects",
        "Object types to read: names such as `contacts` or a custom object's, or objects with "
        "`name` and, for this type alone, {of_objects}. The settings of these names below are "
        "those of `deals`.",
        default=[DEALS.name],
    ),
    Setting(
        "created_from",
        TEXT,
        "Created from",
        "Only deals created at or after this ISO 8601 date or time (UTC): older ones are left out, "
        "however late they change. It is no beginning for changes, which follow the state.",
        in_objects="created_from",
        former="start_date",
        read=_start,
    ),
    Setting(
        "created_until",
        TEXT,
        "Created until",
        "Only deals created until then; a date without time includes that whole day (UTC).",
        in_objects="created_until",
        former="end_date",
        read=_end,
    ),
    Setting(
        "pipeline",
        TEXT,
        "Pipeline",
        "Only deals of the pipeline with this ID.",
        in_objects="pipeline",
    ),
    Setting(
        "deal_stage",
        TEXT,
        "Deal stage",
        "Only deals in the stage with this ID.",
        in_objects="stage",
        field="stage",
    ),
    Setting(
        "archived",
        FLAG,
        "Archived deals",
        "Read all archived deals too. Without it, deals archived since the last run are still "
        "marked, so that a mirror stays true.",
        default=False,
        in_objects="archived",
    ),
    Setting(
        "properties",
        NAMES,
        "Properties",
        "Names of the deal properties to read; all of them by default.",
        in_objects="properties",
        read=lambda names: _distinct(names) or None,
    ),
    Setting(
        "associations",
        NAMES,
        "Associations",
        "Object types whose links to deals are read.",
        default=["contacts", "companies"],
        in_objects="associations",
        read=_distinct,
    ),
    Setting(
        "history",
        NAMES,
        "History",
        "Names of deal properties of which every value that HubSpot still tells is read, into "
        "`deal_property_history`, and stays in stages into `deal_stages`; or `all`. None by "
        "default.",
        in_objects="history",
        read=_some_or_all,
        or_all=True,
    ),
    Setting(
        "association_ids",
        NAMES,
        "Association IDs",
        "Read the links of these deals only; with the stream `deals` deselected, nothing but "
        "these deals is read.",
        in_objects="association_ids",
        read=_distinct,
    ),
    Setting(
        "associations_per_pair",
        FLAG,
        "Associations per pair",
        "A stream `deals_contacts` for each pair of object types, instead of `associations`.",
        default=False,
    ),
    Setting(
        "max_records",
        NUMBER,
        "Most records",
        "Read at most so many deals, as a sample: the run then keeps no bookmark. "
        "No limit by default.",
        bounds=(1, 10**12),
        in_objects="max_records",
    ),
    Setting(
        "on_missing_scope",
        TEXT,
        "On a missing scope",
        "What to do with an object type that the token may not read, when several are asked "
        "for: fail before anything is written, or skip it and say so.",
        default="fail",
        choices=("fail", "skip"),
        field="skip_missing_scopes",
        read=lambda choice: choice == "skip",
    ),
    Setting(
        "flatten_custom_properties",
        FLAG,
        "Flatten custom properties",
        "One field per custom property instead of the object `custom_properties`: "
        "for tables of one tenant.",
        default=False,
    ),
    Setting(
        "nest_properties",
        FLAG,
        "Nest properties",
        "HubSpot's own properties in one object `properties`, without the empty ones, instead "
        "of one field each: for tables of many tenants, and for any number of properties.",
        default=False,
    ),
    Setting(
        "include_raw",
        FLAG,
        "Include raw",
        "Add HubSpot's own object to each deal, as `raw`.",
        default=False,
    ),
    Setting(
        "page_size",
        NUMBER,
        "Page size",
        "Deals per request, 1 to 100.",
        default=MAX_PAGE_SIZE,
        bounds=(1, MAX_PAGE_SIZE),
    ),
    Setting(
        "request_delay_ms",
        NUMBER,
        "Request delay",
        "At least so many milliseconds between two requests, 0 to 60,000.",
        default=0,
        bounds=(0, 60_000),
        field="request_delay",
        read=lambda number: timedelta(milliseconds=number),
    ),
    Setting(
        "requests_per_10_seconds",
        NUMBER,
        "Request budget",
        "The share of the account's limit that this run may use, searches and associations "
        "included; all runs on one machine together keep to it. By default 94 % of the limit that "
        "HubSpot's answers name, less what others take of it.",
        bounds=(1, 10_000),
    ),
    Setting(
        "daily_reserve_percent",
        NUMBER,
        "Daily reserve",
        "So much of the account's requests of the day is kept: a run that would leave less does "
        "not start. A handful of requests tell beforehand. No reserve by default, and none where "
        "HubSpot does not tell how many are left, as with OAuth.",
        bounds=(0, 100),
    ),
    Setting(
        "lookback_minutes",
        NUMBER,
        "Look-back",
        "An incremental run reads again what changed so many minutes before its bookmark: "
        "HubSpot's search shows changes late.",
        default=15,
        bounds=(0, 7 * 24 * 60),
        field="lookback",
        read=lambda number: timedelta(minutes=number),
    ),
    Setting(
        "full_refresh_hours",
        NUMBER,
        "Full refresh",
        "So many hours after the last full read, a run reads everything again, to see links "
        "that changed without their deal and deals deleted for good. 0: every run.",
        default=24,
        bounds=(0, 10 * 365 * 24),
        former="association_refresh_hours",
        field="refresh_after",
        read=lambda number: timedelta(hours=number),
    ),
    Setting(
        "compare_everything",
        FLAG,
        "Compare everything",
        "An incremental run compares all records and links with HubSpot, in an account of more "
        "than 1,000 records too: a request for each 100 records, and for 1,000 and each associated "
        "type. What it cannot compare makes it fail then, after everything is written.",
        default=False,
    ),
    Setting(
        "api_version",
        TEXT,
        "API version",
        "`2026-09`, `2026-03`, or `v3` (with v4 associations).",
        default=API_VERSION,
    ),
    Setting(
        "base_url",
        TEXT,
        "Base URL",
        "Where HubSpot's API is; the simulator's address in tests.",
        default=BASE_URL,
        read=lambda address: address.rstrip("/"),
    ),
    Setting(
        "emit_activate_version_messages",
        FLAG,
        "Activate versions",
        "End each full read with ACTIVATE_VERSION, so that the target marks what is gone. Only "
        "for targets that limit this to one tenant, as target-deals-postgres does.",
        default=False,
        field="activate_versions",
    ),
)

OF_OBJECTS = {s.in_objects: s for s in TABLE if s.in_objects}
"""The settings that an item of `objects` may have, by their names there."""

FORMER = {s.former: s for s in TABLE if s.former}
"""The settings that have another name now, by the one they had."""


def _item_schema() -> dict[str, Any]:
    """One item of `objects`: a name, or a name with what is asked of this type."""
    return {
        "type": [TEXT, "object"],
        "properties": {
            "name": {"type": TEXT},
            **{name: setting.schema(name) for name, setting in OF_OBJECTS.items()},
            **{old: s.schema(old) for old, s in FORMER.items() if s.in_objects},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def _config_schema() -> dict[str, Any]:
    """The table as Singer and Meltano read it."""
    properties = {}
    names = ", ".join(f"`{name}`" for name in OF_OBJECTS)
    for setting in TABLE:
        description = setting.description.replace("{of_objects}", names)
        words = {"title": setting.title, "description": description}
        default = {} if setting.default is None else {"default": setting.default}
        hidden = {"secret": True, "writeOnly": True} if setting.secret else {}
        properties[setting.name] = {**setting.schema(setting.name), **default, **words, **hidden}
    for name, setting in FORMER.items():
        # Who writes `start_date` reads here that it is no beginning for changes.
        first = re.split(r"[:;.](?= |$)", setting.description)[0]
        description = f"{first}. The former name of `{setting.name}`."
        words = {"title": setting.title, "description": description}
        properties[name] = {**setting.schema(name), **words}
    required = [setting.name for setting in TABLE if setting.required]
    return {"type": "object", "properties": properties, "required": required}


CONFIG_SCHEMA = _config_schema()


@dataclass(frozen=True)
class Filters:
    """Which records are asked for. Dates are epoch milliseconds, both ends inclusive."""

    pipeline: str | None = None
    stage: str | None = None
    created_from: int | None = None
    created_until: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is filtered at all."""
        return self != Filters()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The validated settings, as they apply to one object type; every field has its final type.

    Args:
        name: The object type as the settings write it; empty for what belongs to none.
    """

    name: str
    tenant_id: str
    organization_id: str | None
    scan_id: str | None
    created_from: int | None
    created_until: int | None
    pipeline: str | None
    stage: str | None
    archived: bool
    properties: tuple[str, ...] | None
    associations: tuple[str, ...]
    history: tuple[str, ...]
    association_ids: tuple[str, ...]
    associations_per_pair: bool
    max_records: int | None
    skip_missing_scopes: bool
    flatten_custom_properties: bool
    nest_properties: bool
    include_raw: bool
    page_size: int
    daily_reserve_percent: int | None
    lookback: timedelta
    refresh_after: timedelta
    compare_everything: bool
    activate_versions: bool

    @property
    def filters(self) -> Filters:
        """Which records are asked for."""
        return Filters(self.pipeline, self.stage, self.created_from, self.created_until)


def parse(config: Mapping[str, Any], item: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a config that `validate` found nothing wrong with.

    Args:
        config: The settings as they are written.
        item: The object type that they are for, from `items_of`; None: for no type.
    """
    config = _renamed(config)
    own = item or {"name": ""}
    values: dict[str, Any] = {"name": own["name"]}
    for setting in TABLE:
        if setting.in_objects is None:
            written = config.get(setting.name)
        else:
            written = own.get(setting.in_objects)
            if written is None and setting.type == NAMES:
                written = []  # what is asked by default is asked of deals
        values[setting.field or setting.name] = setting.value(written)
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})


def parse_objects(config: Mapping[str, Any]) -> list[Settings]:
    """The object types to read, each with its own settings."""
    return [parse(config, item) for item in items_of(config)]


def access_of(config: Mapping[str, Any]) -> Access:
    """How the account is reached, for a config that `validate` found nothing wrong with."""
    known = {field.name for field in fields(Access)}
    values = {s.field or s.name: s.value(config.get(s.name)) for s in TABLE if not s.in_objects}
    given = {name: value for name, value in values.items() if name in known}
    return Access(**given, user_agent="tap-hubspot-deals")


def former_names(config: Mapping[str, Any]) -> list[str]:
    """One sentence for each setting that is still written by its former name."""
    written = [config, *_objects(config)]
    return [
        f"`{former}` is called `{setting.name}` now; the old name still works."
        for former, setting in FORMER.items()
        if any(_is_written(each.get(former)) for each in written)
    ]


def _is_written(value: Any) -> bool:
    return value is not None and value != ""


def _renamed(written: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings by the names they have now; a former name says more than a default."""
    found = {name: value for name, value in written.items() if name not in FORMER}
    for former, setting in FORMER.items():
        if _is_written(written.get(former)):
            found[setting.name] = written[former]
    return found


def items_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of `objects` as dictionaries.

    A bare `deals`, or one that says nothing of its own, takes the tap's top-level `properties`,
    `associations`, filters and `archived`: they are the settings of deals.
    """
    config = _renamed(config)
    items = []
    for item in config.get("objects") or [DEALS.name]:
        own = {"name": item} if isinstance(item, str) else _renamed(item)
        if own["name"] == DEALS.name:
            of_deals = {name: config.get(s.name) for name, s in OF_OBJECTS.items()}
            own = {**of_deals, **{k: v for k, v in own.items() if v is not None}}
        items.append(own)
    return items


def validate(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a config that already has the right JSON types.

    Returns:
        One sentence per fault, each naming its setting; empty when all is well.
    """
    return [
        *_credential_faults(config),
        *_identity_faults(config),
        *_object_faults(config),
        *_former_faults(config),
        *_number_faults({s.name: s for s in TABLE} | FORMER, config),
        *_address_faults(config),
        *_form_faults(config),
        *(
            fault
            for item in items_of(config)
            for fault in (
                *_date_faults(item, config),
                *_name_faults(item),
                *(_number_faults(OF_OBJECTS, item) if item["name"] != DEALS.name else ()),
            )
        ),
    ]


def _credential_faults(config: Mapping[str, Any]) -> list[str]:
    oauth = [n for n in ("client_id", "client_secret", "refresh_token") if config.get(n)]
    if config.get("access_token"):
        if any(c.isspace() for c in config["access_token"]):
            return ["`access_token` has a space or line break in it: copy it again from HubSpot."]
        if not (config["access_token"].isascii() and config["access_token"].isprintable()):
            return [
                "`access_token` holds characters that no token has: copy it again from HubSpot."
            ]
        return []
    if not oauth:
        text = (
            "`access_token` is missing: set it to a HubSpot private app token or service key "
            "(or set `client_id`, `client_secret` and `refresh_token`)."
        )
        return [text]
    missing = [n for n in ("client_id", "client_secret", "refresh_token") if n not in oauth]
    return [f"`{name}` is missing: OAuth needs all three of its settings." for name in missing]


def _identity_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    if not str(config.get("tenant_id") or "").strip():
        faults.append("`tenant_id` is missing: name the tenant whose HubSpot account this is.")
    faults += [
        f"`{name}` must not hold a NUL character."
        for name in ("tenant_id", "organization_id", "scan_id")
        if "\0" in str(config.get(name) or "")
    ]
    return faults


def _objects(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of `objects` as they are written."""
    written = config.get("objects") or ()
    return [{"name": item} if isinstance(item, str) else item for item in written]


def _object_faults(config: Mapping[str, Any]) -> list[str]:
    names = [item["name"] for item in items_of(config)]
    faults = [f"`objects` names '{n}' twice." for n in sorted(set(names)) if names.count(n) > 1]
    faults += [f"`objects` holds {n!r}, which is no HubSpot name." for n in names if not n]
    if DEALS.name not in names:
        faults += [
            f"`{name}` is a setting of deals, which `objects` does not name: write `{setting}` "
            "into the items of `objects`."
            for setting, of_deals in OF_OBJECTS.items()
            for name in (of_deals.name, of_deals.former)
            if config.get(name) not in (None, "", [], of_deals.default)
        ]
    return faults


def _former_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    for written in (config, *_objects(config)):
        for former, setting in FORMER.items():
            now, before = written.get(setting.name), written.get(former)
            if _is_written(before) and _is_written(now) and now not in {before, setting.default}:
                faults.append(
                    f"`{former}` and `{setting.name}` are two names of one setting: write one."
                )
    return faults


def _form_faults(config: Mapping[str, Any]) -> list[str]:
    if config.get("flatten_custom_properties") and config.get("nest_properties"):
        return ["`flatten_custom_properties` and `nest_properties` contradict each other: set one."]
    return []


def _date_faults(item: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the dates of an object type, by the names under which they stand."""
    names = {}
    for setting in FORMER.values():
        own = next((i for i in _objects(config) if i["name"] == item["name"]), {})
        former = any(_is_written(each.get(setting.former)) for each in (own, config))
        names[setting.name] = setting.former if former else setting.name
    faults = []
    for name in ("created_from", "created_until"):
        text = item.get(name)
        if text in {None, ""}:
            continue
        try:
            parse_time(text)
        except ValueError:
            example = date(2025, 1, 31).isoformat()
            faults.append(
                f"`{names[name]}` is no ISO 8601 date: {text!r}. Write it like {example}."
            )
    if not faults:
        start = _start(item.get("created_from") or None)
        end = _end(item.get("created_until") or None)
        if start is not None and end is not None and end < start:
            faults.append(f"`{names['created_until']}` is before `{names['created_from']}`.")
    return faults


def _number_faults(table: Mapping[str, Setting], written: Mapping[str, Any]) -> list[str]:
    return [
        f"`{name}` must be from {setting.bounds[0]} to {setting.bounds[1]:,}, not {value}."
        for name, setting in table.items()
        if setting.bounds is not None
        and (value := written.get(name)) is not None
        and not setting.bounds[0] <= value <= setting.bounds[1]
    ]


def _listed(written: list[str] | str | None) -> list[str]:
    return [written] if isinstance(written, str) else written or []


def _name_faults(item: Mapping[str, Any]) -> list[str]:
    return [
        f"`{name}` holds {text!r}, which is no HubSpot name."
        for name, setting in OF_OBJECTS.items()
        if setting.type == NAMES
        for text in _listed(item.get(name))
        if not text.strip() or any(c.isspace() or c in ",/?&#\0" for c in text)
    ]


def _address_faults(config: Mapping[str, Any]) -> list[str]:
    faults = []
    version = config.get("api_version")
    if version and version != LEGACY and not DATED.match(version):
        faults.append(f"`api_version` must be `v3` or a date such as `2026-09`, not {version!r}.")
    address = config.get("base_url")
    if address:
        try:
            parts = urlsplit(address)
            whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole or any(c.isspace() for c in address):
            faults.append(f"`base_url` must be an http or https address, not {address!r}.")
        elif parts.username or parts.password or parts.query or parts.fragment:
            faults.append("`base_url` must end before any `?` or `#` and hold no user name.")
    return faults
