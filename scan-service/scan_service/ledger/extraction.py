"""Knows what a scan's configuration may say: all of it but the scan's name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from scan_service.ledger.words import (
    AccessToken,
    Identifier,
    Model,
    Moment,
    ObjectName,
    PropertyName,
    Text,
    Whole,
)
from scan_service.moments import read_moment
from scan_service.records import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.records.objects import Part

ASSOCIATIONS = (
    "contacts", "companies", "line_items", "quotes", "tickets", "products", "orders",
    "calls", "emails", "meetings", "notes", "tasks", "communications", "postal_mail",
)  # fmt: skip
# Deals in a batch, and milliseconds between two requests.
_DEFAULT_PACE = 100


class Auth(Model):
    """Which HubSpot account: a connection's name, or a token, which is never shown again."""

    connection: Identifier | None = None
    access_token: Annotated[AccessToken | None, Field(alias="accessToken")] = None

    @model_validator(mode="before")
    @classmethod
    def _told(cls, value: Any) -> Any:
        # What is not there would not be looked at below.
        return {"accessToken": None, **value} if isinstance(value, dict) else value

    @field_validator("access_token")
    @classmethod
    def _one_of_both(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if "connection" not in info.data:
            return value  # its own fault is told
        named = info.data["connection"] is not None
        if value is None and not named:
            raise PydanticKnownError("missing")
        if value is not None and named:
            raise ValueError("must not be sent with `connection`: both name the account")
        return value


class Filters(Model):
    """Which deals."""

    pipeline: Text | None = None
    deal_stage: Annotated[Text | None, Field(alias="dealStage")] = None
    archived: bool | None = False


class DateRange(Model):
    """When the deals were created; a day as the end includes that day (UTC)."""

    start_date: Annotated[Moment | None, Field(alias="startDate")] = None
    end_date: Annotated[Moment | None, Field(alias="endDate")] = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start_date and self.end_date:
            start, end = read_moment(self.start_date), read_moment(self.end_date)
            if end < start:
                raise ValueError("endDate must not be before startDate")
        return self


class ObjectFilters(Model):
    """Which records of one object type."""

    pipeline: Text | None = None
    stage: Text | None = None
    archived: bool | None = None


# Of a list, here and below, the first wrong item is told: telling of all in a body of a megabyte
# would take a second of a server.
class ObjectOrder(Model):
    """One object type, with what is asked of this type alone."""

    name: ObjectName
    filters: ObjectFilters | None = None
    date_range: Annotated[DateRange | None, Field(alias="dateRange")] = None
    properties: Annotated[list[PropertyName] | None, Field(fail_fast=True, max_length=1000)] = None
    associations: Annotated[list[ObjectName] | None, Field(fail_fast=True, max_length=50)] = None
    # Properties of which every value is kept, and stays in stages with them.
    history: Annotated[
        list[PropertyName] | None, Field(fail_fast=True, min_length=1, max_length=100)
    ] = None

    @model_validator(mode="after")
    def _has_pipelines(self) -> Self:
        asked = self.filters and (self.filters.pipeline or self.filters.stage)
        if asked and self.name not in objects.PIPELINED:
            raise ValueError(
                "filters.pipeline and filters.stage apply to types with pipelines only: "
                + ", ".join(sorted(objects.PIPELINED))
            )
        return self


# Errors show where they are by these marks; `models` leaves them out of the fields' names.
NAME_MARK, ORDER_MARK = "<name>", "<order>"
ObjectItem = Annotated[
    Annotated[ObjectName, Tag(NAME_MARK)] | Annotated[ObjectOrder, Tag(ORDER_MARK)],
    Discriminator(lambda item: NAME_MARK if isinstance(item, str) else ORDER_MARK),
]


# The fields that say what is read, and what clients call them.
WHAT = {
    "objects": "objects", "filters": "filters", "date_range": "dateRange",
    "properties": "properties", "associations": "associations",
}  # fmt: skip


class Extraction(Model):
    """What a scan reads, and how: all of a scan's configuration but its name."""

    tenant_id: Annotated[Identifier, Field(alias="tenantId")]
    organization_id: Annotated[Text | None, Field(alias="organizationId")] = None
    auth: Auth
    mode: Literal["full", "incremental"] = "full"
    # Before `associations`, which may lead to the custom objects that are named here.
    objects: Annotated[list[ObjectItem] | None, Field(min_length=1, max_length=50)] = None
    filters: Filters | None = None
    date_range: Annotated[DateRange | None, Field(alias="dateRange")] = None
    properties: Annotated[list[PropertyName] | None, Field(fail_fast=True, max_length=1000)] = None
    associations: Annotated[list[str] | None, Field(max_length=50, fail_fast=True)] = None
    batch_size: Annotated[Whole, Field(alias="batchSize", ge=1, le=100)] = _DEFAULT_PACE
    rate_limit_delay: Annotated[Whole, Field(alias="rateLimitDelay", ge=0, le=60_000)] = (
        _DEFAULT_PACE
    )

    # How long the scan stays after its end; null: until it is removed.
    keep_days: Annotated[Whole | None, Field(alias="keepDays", ge=1, le=3650)] = None

    @field_validator("objects")
    @classmethod
    def _distinct(cls, value: list[ObjectItem] | None) -> list[ObjectItem] | None:
        names = [_name(item) for item in value or ()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice")
        known = {*ASSOCIATIONS, *objects.STANDARD, *names}
        for item in value or ():
            if not isinstance(item, str) and set(item.associations or ()) - known:
                raise ValueError(
                    f"{item.name}: associations lead to HubSpot's own object types and to those"
                    " that `objects` names"
                )
        return value

    @field_validator("associations")
    @classmethod
    def _known(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        items = info.data.get("objects")
        known = set(ASSOCIATIONS)
        if items is not None:
            known |= {*objects.STANDARD, *map(_name, items)}
        if unknown := sorted(set(value or ()) - known):
            listed = [*ASSOCIATIONS, *sorted(known - set(ASSOCIATIONS))]
            raise ValueError(f"{len(unknown)} unknown object type(s); known: {', '.join(listed)}")
        return value

    @field_validator("filters", "date_range", "properties", "associations")
    @classmethod
    def _of_deals(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would silently do nothing: these settings are those of deals."""
        items = info.data.get("objects")
        if not value or items is None or value in (Filters(), DateRange()):
            return value
        deals = [item for item in items if _name(item) == objects.DEALS]
        if not deals:
            raise ValueError("applies to deals, which `objects` does not name; say it in its items")
        if not isinstance(deals[0], str) and getattr(deals[0], str(info.field_name)) is not None:
            raise ValueError("is said twice: here and in the item `deals` of `objects`")
        return value

    def stored(self) -> dict[str, Any]:
        """Return the configuration as the ledger keeps it: everything but the token."""
        kept = self.model_dump(
            by_alias=True, exclude={"auth", "tenant_id", "scan_id", "organization_id", "objects"}
        )
        kept["connection"] = self.auth.connection
        if self.objects is not None:
            kept["objects"] = [
                item if isinstance(item, str) else item.model_dump(by_alias=True, exclude_none=True)
                for item in self.objects
            ]
        return {name: value for name, value in kept.items() if value is not None}

    def parts(self) -> dict[str, Part]:
        """Return what is read, by object type."""
        return objects.parts(self.stored())

    def fingerprint(self) -> str:
        """Identify what is read: scans of one fingerprint can share a bookmark."""
        return objects.fingerprint(self.stored())


def _name(item: str | ObjectOrder) -> str:
    return item if isinstance(item, str) else item.name


class ScanConfig(Extraction):
    """One scan; one that verifies another reads what that one read."""

    scan_id: Annotated[Identifier, Field(alias="scanId")]
    verifies: Identifier | None = None

    @field_validator("verifies")
    @classmethod
    def _alone(cls, value: str | None, info: ValidationInfo) -> str | None:
        said = [name for name in WHAT if info.data.get(name)]
        if value is not None and (said or info.data.get("mode") == "incremental"):
            raise ValueError("takes what is read from the scan that it names: leave that away")
        return value

    def like(self, stored: Mapping[str, Any]) -> Self:
        """Return this one reading what another scan read.

        Args:
            stored: that one's configuration, as `stored` returned it.
        """
        said = {name: stored[name] for name in WHAT.values() if name in stored}
        own = {"tenantId": self.tenant_id, "scanId": self.scan_id, "auth": {"connection": "any"}}
        whole = type(self).model_validate_json(json.dumps({**said, **own}))
        return self.model_copy(update={name: getattr(whole, name) for name in WHAT})
