"""Knows what a request may say, in its body and its query, and how errors name the fields."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from scan_service.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

ASSOCIATIONS = (
    "contacts", "companies", "line_items", "quotes", "tickets", "products", "orders",
    "calls", "emails", "meetings", "notes", "tasks", "communications", "postal_mail",
)  # fmt: skip
STATUSES = ("pending", "running", "completed", "failed", "cancelled")
LONGEST_ID = 128
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})?\Z"
)


def _moment(value: object) -> object:
    """Accept ISO 8601 only: pydantic alone would take numbers, and read them as epochs."""
    if isinstance(value, str) and not (_DAY.match(value) or _TIME.match(value)):
        raise ValueError("must be an ISO 8601 date or date-time")
    if isinstance(value, str):
        parse_moment(value)
    return value


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 date or date-time; without an offset it is UTC."""
    try:
        if _DAY.match(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("is no date of the calendar") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _no_nul(value: str) -> str:
    # PostgreSQL's text holds everything but this one character, and no lone surrogates.
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    return value


Identifier = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", max_length=LONGEST_ID)
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_nul)]
Moment = Annotated[str, BeforeValidator(_moment)]
PropertyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, hide_input_in_errors=True, frozen=True, populate_by_name=True
    )


class Auth(_Model):
    """The tenant's HubSpot token; it is never shown again."""

    access_token: Annotated[SecretStr, Field(alias="accessToken", min_length=8, max_length=1024)]

    @field_validator("access_token")
    @classmethod
    def _printable(cls, value: SecretStr) -> SecretStr:
        # It becomes a header and an environment variable: neither can hold anything else.
        if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("must consist of printable ASCII characters without spaces")
        return value


class Filters(_Model):
    """Which deals."""

    pipeline: Text | None = None
    deal_stage: Annotated[Text | None, Field(alias="dealStage")] = None
    archived: bool | None = False


class DateRange(_Model):
    """When the deals were created; a day as the end includes that day (UTC)."""

    start_date: Annotated[Moment | None, Field(alias="startDate")] = None
    end_date: Annotated[Moment | None, Field(alias="endDate")] = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start_date and self.end_date:
            start, end = parse_moment(self.start_date), parse_moment(self.end_date)
            if end < start:
                raise ValueError("endDate must not be before startDate")
        return self


class Extraction(_Model):
    """What a scan reads, and how: all of a scan's configuration but its name."""

    tenant_id: Annotated[Identifier, Field(alias="tenantId")]
    organization_id: Annotated[Text | None, Field(alias="organizationId")] = None
    auth: Auth
    mode: Literal["full", "incremental"] = "full"
    filters: Filters | None = None
    date_range: Annotated[DateRange | None, Field(alias="dateRange")] = None
    properties: Annotated[list[PropertyName] | None, Field(max_length=1000)] = None
    associations: Annotated[list[str] | None, Field(max_length=50)] = None
    batch_size: Annotated[int, Field(alias="batchSize", ge=1, le=100)] = 100
    rate_limit_delay: Annotated[int, Field(alias="rateLimitDelay", ge=0, le=60_000)] = 100

    @field_validator("associations")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        if unknown := sorted(set(value or ()) - set(ASSOCIATIONS)):
            raise ValueError(
                f"{len(unknown)} unknown object type(s); known: {', '.join(ASSOCIATIONS)}"
            )
        return value

    def stored(self) -> dict[str, Any]:
        """Return the configuration as the ledger keeps it: everything but the token."""
        kept = self.model_dump(
            by_alias=True, exclude={"auth", "tenant_id", "scan_id", "organization_id"}
        )
        return {name: value for name, value in kept.items() if value is not None}

    def fingerprint(self) -> str:
        """Identify what is read: scans of one fingerprint can share a bookmark."""
        what = {
            "filters": (self.filters or Filters()).model_dump(),
            "dates": (self.date_range or DateRange()).model_dump(),
            "properties": sorted(set(self.properties)) if self.properties else None,
            "associations": sorted(set(self.associations or ())),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class ScanConfig(Extraction):
    """One scan."""

    scan_id: Annotated[Identifier, Field(alias="scanId")]


class StartScan(_Model):
    """Body of POST /api/v1/scan/start."""

    config: ScanConfig


class Schedule(_Model):
    """A scan that starts by itself."""

    schedule_id: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")],
        Field(alias="scheduleId"),
    ]
    cron: Annotated[str, StringConstraints(min_length=9, max_length=100)]
    config: Extraction

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration):
            raise ValueError("must be a cron expression of five fields, in UTC") from None
        if len(value.split()) != 5:  # noqa: PLR2004 - with six fields, the first is a second
            raise ValueError("must be a cron expression of five fields, in UTC")
        return value


class CreateSchedule(_Model):
    """Body of POST /api/v1/schedules."""

    schedule: Schedule


class _Query(BaseModel):
    # Lax, not strict: everything in a query string is text.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    @field_validator("page", "page_size", mode="before", check_fields=False)
    @classmethod
    def _digits(cls, value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
            raise ValueError("must be an integer")
        return value

    @field_validator(
        "include_raw", "include_associations", "include_custom_props",
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


class ResultQuery(_Query):
    """Query of GET /api/v1/scan/result/{scan_id}."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=100, ge=1, le=1000)
    include_raw: bool = False
    include_associations: bool = False


class DownloadQuery(_Query):
    """Query of GET /api/v1/scan/download/{scan_id}/{format}."""

    include_associations: bool = False
    include_custom_props: bool = True


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
    location = list(problem["loc"])
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
