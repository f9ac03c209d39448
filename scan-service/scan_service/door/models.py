"""Knows what a request may say, in its body and its query, and how errors name the fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from scan_service.errors import InvalidRequestError
from scan_service.ledger.extraction import NAME_MARK, ORDER_MARK, Extraction, ScanConfig
from scan_service.ledger.webhooks import EVENTS, Event
from scan_service.ledger.words import LONGEST_ID, AccessToken, Identifier, Model, Whole, no_nul
from scan_service.records.objects import DEALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails


_NO_CRON = "must be a cron expression of five fields, in UTC, or @daily and the like"
# As cron itself knows them.
_NAMED_TIMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class StartScan(Model):
    """Body of POST /api/v1/scan/start."""

    config: ScanConfig


def _cron(value: str) -> str:
    value = _NAMED_TIMES.get(value.lower(), value)
    try:
        next(CronSim(value, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        raise ValueError(_NO_CRON) from None
    if len(value.split()) != 5:  # noqa: PLR2004 - with six fields, the first is a second
        raise ValueError(_NO_CRON)
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Cron = Annotated[str, StringConstraints(max_length=100), AfterValidator(_cron)]
KeepLast = Annotated[Whole | None, Field(alias="keepLast", ge=1, le=1000)]


Scope = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,99}$")]


class Schedule(Model):
    """A scan that starts by itself."""

    schedule_id: Annotated[Name, Field(alias="scheduleId")]
    cron: Cron
    keep_last: KeepLast = None
    config: Extraction


class ScheduleChanges(Model):
    """What is to be different about a schedule; what is not named stays."""

    cron: Cron | None = None
    keep_last: KeepLast = None
    paused: bool | None = None
    config: Extraction | None = None


class ChangeSchedule(Model):
    """Body of PATCH /api/v1/schedules/{schedule_id}."""

    schedule: ScheduleChanges


class CreateSchedule(Model):
    """Body of POST /api/v1/schedules."""

    schedule: Schedule


class NewConnection(Model):
    """A HubSpot account: by its token, or, without one, by its user's yes."""

    connection_id: Annotated[Identifier, Field(alias="connectionId")]
    access_token: Annotated[AccessToken | None, Field(alias="accessToken")] = None
    scopes: list[Scope] = Field(default=["crm.objects.deals.read"], min_length=1, max_length=100)


class CreateConnection(Model):
    """Body of POST /api/v1/connections."""

    connection: NewConnection


class Webhook(Model):
    """Whom to call, and when."""

    webhook_id: Annotated[Name, Field(alias="webhookId")]
    url: str
    events: list[Event] = Field(default=list(EVENTS), min_length=1, fail_fast=True)


class CreateWebhook(Model):
    """Body of POST /api/v1/webhooks."""

    webhook: Webhook


# Any text: which types there are is the scan's to say.
ObjectType = Annotated[str, StringConstraints(max_length=LONGEST_ID), AfterValidator(no_nul)]


_LONGEST_CURSOR = 2048


class _Query(BaseModel):
    # Lax, not strict: everything in a query string is text.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    @field_validator("page", "page_size", "stalled_days", mode="before", check_fields=False)
    @classmethod
    def _digits(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
            raise ValueError("must be an integer")
        return value

    @field_validator(
        "include_raw", "include_associations", "include_custom_props", "include_labels", "bom",
        "include_requests",
        mode="before", check_fields=False,
    )  # fmt: skip
    @classmethod
    def _true_or_false(cls, value: object) -> object:
        # Python's requests sends True, JavaScript sends true; `yes`, `1` and `on` mean nothing.
        if isinstance(value, str) and value not in ("true", "false", "True", "False"):
            raise ValueError("must be true or false")
        return value


class ListQuery(_Query):
    """Query of GET /api/v1/scan/list."""

    status: Literal["all", "pending", "running", "completed", "failed", "cancelled"] = "all"
    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=50, ge=1, le=100)
    sort: Literal["created_at", "started_at", "status"] = "created_at"
    order: Literal["asc", "desc"] = "desc"


class StatusQuery(_Query):
    """Query of GET /api/v1/scan/status/{scan_id}."""

    include_requests: bool = False


class AuditQuery(_Query):
    """Query of GET /api/v1/audit."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=50, ge=1, le=100)


class ResultQuery(_Query):
    """Query of GET /api/v1/scan/result/{scan_id}."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=100, ge=1, le=1000)
    cursor: Annotated[str | None, StringConstraints(max_length=_LONGEST_CURSOR)] = None
    include_raw: bool = False
    include_associations: bool = False
    object: ObjectType = DEALS


class DownloadQuery(_Query):
    """Query of GET /api/v1/scan/download/{scan_id}/{format}."""

    include_associations: bool = False
    include_custom_props: bool = True
    bom: bool = False
    object: ObjectType = DEALS


class RecordQuery(_Query):
    """Query of GET /api/v1/scan/result/{scan_id}/{record_id}."""

    include_raw: bool = False
    object: ObjectType = DEALS


class HistoryQuery(_Query):
    """Query of GET /api/v1/scan/result/{scan_id}/{record_id}/history."""

    include_labels: bool = False
    object: ObjectType = DEALS


class PipelineQuery(_Query):
    """Query of GET /api/v1/scan/pipeline/{scan_id}."""

    stalled_days: int = Field(default=30, ge=0, le=3650)
    include_labels: bool = False


class ObjectsQuery(_Query):
    """Query of GET /api/v1/connections/{connection_id}/objects."""

    names: Annotated[str, StringConstraints(max_length=_LONGEST_CURSOR)] = DEALS


class RemoveQuery(_Query):
    """Query of DELETE /api/v1/scan/remove/{scan_id}."""

    confirm: Literal["true"]


_Anything = TypeVar("_Anything", bound=BaseModel)


def read_body(model: type[_Anything], body: bytes) -> _Anything:
    """Validate a JSON body; an error names fields as the client wrote them, and no value."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal("Invalid scan configuration", error) from None


def read_query(model: type[_Anything], query: Mapping[str, str]) -> _Anything:
    """Validate a query string."""
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise _refusal("Invalid query parameters", error) from None


def _refusal(message: str, error: ValidationError) -> InvalidRequestError:
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return InvalidRequestError(message, details=[_detail(problem) for problem in problems[:50]])


def _detail(problem: ErrorDetails) -> dict[str, str]:
    kind = problem["type"]
    location = [part for part in problem["loc"] if part not in (NAME_MARK, ORDER_MARK)]
    if kind == "extra_forbidden":
        # The name of an unknown field is the client's text: show it only if it is a plain name.
        name = str(location[-1])
        location[-1] = name if re.fullmatch(r"\w{1,64}", name, re.ASCII) else "(unknown)"
        return {"field": _path(location), "message": "Unknown field"}
    if kind == "json_invalid":
        return {"field": "body", "message": "Body is not valid JSON"}
    if kind == "missing":
        return {"field": _path(location), "message": "Required"}
    return {"field": _path(location), "message": problem["msg"].removeprefix("Value error, ")}


def _path(location: list[str | int]) -> str:
    return ".".join(str(part) for part in location) or "body"
