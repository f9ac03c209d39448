"""The small streams that describe an account: itself, pipelines, owners, property definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from hubspot_client.paging import Cursors, Paging, after
from typing_extensions import override

from tap_hubspot_deals.streams.base import MetadataStream
from tap_hubspot_deals.streams.records import KEY_TEXT, TEXT, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hubspot_client.client import Client
    from hubspot_client.object_types import ObjectType
    from hubspot_client.properties import Definition

    from tap_hubspot_deals.streams.base import Account


class _Stage(msgspec.Struct, rename="camel"):
    id: str
    label: str = ""
    display_order: int | None = None
    archived: bool = False
    created_at: str | None = None
    updated_at: str | None = None
    metadata: dict[str, Any] = {}


class Pipeline(msgspec.Struct, rename="camel"):
    """A pipeline, as HubSpot gives it."""

    id: str
    label: str = ""
    display_order: int | None = None
    archived: bool = False
    archived_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    stages: list[_Stage] = []


class _Pipelines(msgspec.Struct):
    results: list[Pipeline]


class PipelinesStream(MetadataStream):
    """Pipelines of one object type with their stages."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "id": {**KEY_TEXT, "title": "Pipeline ID"},
        "label": TEXT,
        "display_order": {"type": ["integer", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "archived_at": TIME,
        "created_at": TIME,
        "updated_at": TIME,
        "stages": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, account: Account, name: str, object_type: ObjectType) -> None:
        self._object_type = object_type
        super().__init__(account, name, key="id", properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        for pipeline in read_pipelines(self.hubspot, self._object_type):
            stages = [msgspec.structs.asdict(stage) for stage in pipeline.stages]
            yield {**msgspec.structs.asdict(pipeline), "stages": stages}


def read_pipelines(
    client: Client, object_type: ObjectType, *, archived: bool = False
) -> list[Pipeline]:
    """All live, or all archived, pipelines of an object type; HubSpot gives them in one answer."""
    return client.get(
        client.paths.pipelines(object_type.in_paths),
        family="pipelines",
        what=f"pipelines of {object_type.name}",
        shape=_Pipelines,
        **({"archived": "true"} if archived else {}),
    ).results


class _Team(msgspec.Struct):
    id: str
    name: str = ""
    primary: bool = False


class _Owner(msgspec.Struct, rename="camel"):
    id: str
    email: str | None = None
    type: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_id: int | None = None
    user_id_including_inactive: int | None = None
    archived: bool = False
    created_at: str | None = None
    updated_at: str | None = None
    teams: list[_Team] = []


class _Owners(msgspec.Struct):
    results: list[_Owner]
    paging: Paging | None = None


class OwnersStream(MetadataStream):
    """Owners, those who left included: old deals still name them."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "id": {**KEY_TEXT, "title": "Owner ID"},
        "email": TEXT,
        "type": TEXT,
        "first_name": TEXT,
        "last_name": TEXT,
        "user_id": {"type": ["integer", "null"]},
        "user_id_including_inactive": {"type": ["integer", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "created_at": TIME,
        "updated_at": TIME,
        "teams": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, account: Account, name: str = "owners") -> None:
        super().__init__(account, name, key="id", properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        for archived in ("false", "true"):
            for owner in self._owners(archived):
                teams = [msgspec.structs.asdict(team) for team in owner.teams]
                yield {**msgspec.structs.asdict(owner), "teams": teams}

    def _owners(self, archived: str) -> Iterator[_Owner]:
        cursor: dict[str, str | int] = {}
        cursors = Cursors("owners")
        while True:
            page = self.hubspot.get(
                self.hubspot.paths.owners(),
                family="owners",
                what="owners",
                shape=_Owners,
                limit=100,
                archived=archived,
                **cursor,
            )
            yield from page.results
            following = after(page.paging)
            if following is None:
                return
            cursors.check(str(cursor.get("after")), following, empty=not page.results)
            cursor = {"after": following}


class _Details(msgspec.Struct, rename="camel"):
    portal_id: int
    account_type: str | None = None
    time_zone: str | None = None
    company_currency: str | None = None
    additional_currencies: list[str] | None = None
    ui_domain: str | None = None
    data_hosting_location: str | None = None


class DetailsStream(MetadataStream):
    """The account itself, in one record: above all its time zone, by which its people have days."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "id": {**KEY_TEXT, "title": "Hub ID"},
        "account_type": TEXT,
        "time_zone": {**TEXT, "title": "Its name in the tz database, as in `AT TIME ZONE`"},
        "company_currency": TEXT,
        "additional_currencies": {"type": ["array", "null"], "items": {"type": "string"}},
        "ui_domain": TEXT,
        "data_hosting_location": TEXT,
    }
    is_extra = True

    def __init__(self, account: Account) -> None:
        super().__init__(account, "account_details", key="id", properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        found = self.hubspot.get(
            self.hubspot.paths.account(), family="account", what="account details", shape=_Details
        )
        details = msgspec.structs.asdict(found)
        yield {"id": str(details.pop("portal_id")), **details}


class PropertiesStream(MetadataStream):
    """Property definitions of one object type."""

    FIELDS: ClassVar[dict[str, Any]] = {
        "name": {**KEY_TEXT, "title": "Property name"},
        "label": TEXT,
        "description": TEXT,
        "group_name": TEXT,
        "type": TEXT,
        "field_type": TEXT,
        "hubspot_defined": {"type": ["boolean", "null"]},
        "calculated": {"type": ["boolean", "null"]},
        "external_options": {"type": ["boolean", "null"]},
        "has_unique_value": {"type": ["boolean", "null"]},
        "hidden": {"type": ["boolean", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "referenced_object_type": TEXT,
        "created_at": TIME,
        "updated_at": TIME,
        "options": {"type": ["array", "null"], "items": {"type": "object"}},
    }

    def __init__(self, account: Account, name: str, definitions: Sequence[Definition]) -> None:
        self._definitions = definitions
        super().__init__(account, name, key="name", properties=self.FIELDS)

    @override
    def read(self) -> Iterable[dict[str, Any]]:
        return map(msgspec.structs.asdict, self._definitions)
