"""Knows what a request may say: its body, its query, and how errors name the fields."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from email_validator import EmailNotValidError, validate_email
from hubspot_client.writing.values import trimmed
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from crm_api.errors import ValidationFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_ADDRESS = 254
LONGEST_KEY = 128
_CATEGORY = Literal["general_inquiry", "technical_issue", "billing", "service_request", "meeting"]
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_PHONE = re.compile(r"[+0-9()/.\- ]{5,20}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,20}", re.ASCII)
_LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)
_NAME_MARKS = frozenset("'\N{RIGHT SINGLE QUOTATION MARK}-. ")
_FAULTS = 50


class _Number:
    """A JSON number, as it was written: no float on the way."""

    def __init__(self, text: str) -> None:
        self.text = text


def _clean(text: str, *, lines: bool = False) -> str:
    """Trim, of what nobody sees too; refuse what nobody types: control characters and the like."""
    for each in text:
        if unicodedata.category(each) in {"Cc", "Cs"} and not (lines and each in "\n\r\t"):
            raise ValueError("must not contain control characters")
    return trimmed(text)


def _sized(least: int, most: int) -> AfterValidator:
    def check(text: str) -> str:
        if not least <= len(text) <= most:
            raise ValueError(f"must have {least} to {most} characters")
        return text

    return AfterValidator(check)


def address(text: str) -> str:
    """Give an address as accounts have it: composed, in lower case, its host in ASCII."""
    try:
        found = validate_email(
            unicodedata.normalize("NFC", _clean(text)), check_deliverability=False, strict=True
        )
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None
    host = found.ascii_domain
    whole = f"{found.local_part.lower()}@{host.lower()}"
    if len(whole) > LONGEST_ADDRESS:
        raise ValueError(f"must have at most {LONGEST_ADDRESS} characters")
    return whole


def _any_address(text: str) -> str:
    """Give an address to look for; one that none can be is one that nobody has."""
    try:
        return address(text)
    except ValueError:
        return ""


def _name(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    kinds = [unicodedata.category(each)[0] for each in text]
    fits = all(
        kind in {"L", "M"} or each in _NAME_MARKS for each, kind in zip(text, kinds, strict=True)
    )
    if not fits or "L" not in kinds:
        raise ValueError("must consist of letters, blanks, apostrophes, hyphens and dots")
    return text


def _phone(text: str) -> str:
    if not _PHONE.fullmatch(text) or not any(each.isdigit() for each in text):
        raise ValueError("must be 5 to 20 digits, blanks and + ( ) / . -")
    return text


def _password(text: str) -> str:
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in text):
        raise ValueError("must not contain control characters")
    if not (
        any(each.islower() for each in text)
        and any(each.isupper() for each in text)
        and any(each.isdigit() for each in text)
    ):
        raise ValueError("must contain a lower-case letter, an upper-case letter and a digit")
    return text


def _amount(value: object) -> str:
    """Give plain digits, whether they came as a number or as a text."""
    text = value.text if isinstance(value, _Number) else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text.strip()):
        raise ValueError(
            "must be a number from 0 to below 1,000,000,000,000,000 with at most 6 decimals"
        )
    found = Decimal(text.strip())
    plain = format(found, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _offset_of(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a moment without its offset is none")
    return offset


def _moment(text: str) -> str:
    """Give a day as a day, and a moment in UTC, which is HubSpot's only zone."""
    try:
        if len(text) <= len("2025-12-31"):
            return date.fromisoformat(text).isoformat()
        found = datetime.fromisoformat(text)
        moment = (found - _offset_of(found)).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError(
            "must be a date of ISO 8601, or a date-time with its offset: 2025-12-31T12:00:00+01:00"
        ) from None
    return moment.isoformat(timespec="milliseconds") + "Z"


Text = Annotated[str, AfterValidator(_clean)]
Lines = Annotated[str, AfterValidator(lambda text: _clean(text, lines=True))]
Short = Annotated[Text, _sized(1, 255)]
Word = Annotated[Text, _sized(1, 100)]
Name = Annotated[Text, _sized(1, 80), AfterValidator(_name)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Register(_Body):
    """Body of POST /api/register."""

    email: Annotated[str, AfterValidator(address)]
    firstname: Name
    lastname: Name
    password: Annotated[str, _sized(8, 128), AfterValidator(_password)]
    phone: Annotated[Text, AfterValidator(_phone)]

    @model_validator(mode="after")
    def _is_no_address(self) -> Register:
        if self.password.lower() == self.email:
            raise ValueError("password: must not be the address")
        return self


class Login(_Body):
    """Body of POST /api/login; of a password only the right one is good, so no rule is told."""

    email: Annotated[str, _sized(1, 1000), AfterValidator(_any_address)]
    password: Annotated[str, _sized(1, 128)]


class CreateDeal(_Body):
    """Body of POST /api/deals."""

    dealname: Short
    dealstage: Word
    amount: Annotated[str, BeforeValidator(_amount)]
    description: Annotated[Lines, _sized(0, 65536)] | None = None
    pipeline: Word | None = None
    closedate: Annotated[Text, AfterValidator(_moment)] | None = None

    def values(self) -> dict[str, str]:
        """Return what was said."""
        return {name: value for name, value in self.model_dump().items() if value}


class CreateTicket(_Body):
    """Body of POST /api/tickets/{deal_id}."""

    subject: Short
    description: Annotated[Lines, _sized(1, 65536)]
    category: _CATEGORY
    pipeline: Word
    hs_ticket_priority: Word
    hs_pipeline_stage: Word

    def values(self) -> dict[str, str]:
        """Return what was said."""
        found: dict[str, str] = self.model_dump()
        return found


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def _whole(value: object) -> object:
    if not isinstance(value, str) or not _LIMIT.fullmatch(value) or not 1 <= int(value) <= 100:  # noqa: PLR2004
        raise ValueError("must be a number from 1 to 100")
    return int(value)


def _cursor(value: object) -> object:
    if not isinstance(value, str) or not _CURSOR.fullmatch(value):
        raise ValueError("must be a `next_after` of before")
    return value


class ListQuery(_Query):
    """Query of GET /api/new-crm-objects."""

    limit: Annotated[int, BeforeValidator(_whole)] = 10
    cursor: Annotated[str, BeforeValidator(_cursor)] | None = None


class PipelinesQuery(_Query):
    """Query of GET /api/pipelines."""

    kind: Literal["tickets", "deals"] = Field(default="tickets", alias="object")


_Model = TypeVar("_Model", bound=BaseModel)


def read_body(model: type[_Model], body: bytes) -> _Model:
    """Validate a JSON body.

    Raises:
        ValidationFailedError: Naming the fields as the client wrote them, and no value.
    """
    try:
        found = json.loads(
            body, parse_float=_Number, parse_int=_Number, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise ValidationFailedError.field("body", "must be valid JSON") from None
    if not isinstance(found, dict):
        raise ValidationFailedError.field("body", "must be an object")
    return _validated(model, found)


def read_query(model: type[_Model], query: Mapping[str, str]) -> _Model:
    """Validate a query string; errors as for a body."""
    return _validated(model, dict(query))


def _no_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are no JSON")


def _validated(model: type[_Model], found: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        details: dict[str, list[str]] = {}
        for name, problem in _problems(error):
            details.setdefault(name, []).append(problem)
        raise ValidationFailedError(details=details) from None


def _problems(error: ValidationError) -> Iterator[tuple[str, str]]:
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    for fault in faults[:_FAULTS]:
        name = str(fault["loc"][0]) if fault["loc"] else ""
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            # The name of an unknown field is the client's text: show it only if it is plain.
            yield (
                (name if re.fullmatch(r"\w{1,64}", name, re.ASCII) else "(unknown)"),
                ("unknown field"),
            )
        elif fault["type"] == "missing":
            yield name, "is required"
        elif not name:
            yield tuple(said.split(": ", 1)) if ": " in said else ("body", said)  # type: ignore[misc]
        else:
            yield name, said[:1].lower() + said[1:]
