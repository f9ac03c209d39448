"""Knows the words that requests are made of: names, texts, numbers, moments, tokens."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from scan_service.moments import read_moment
from scan_service.records import objects

LONGEST_ID = 128


def _moment(value: object) -> object:
    """Accept ISO 8601 only: pydantic alone would take numbers, and read them as epochs."""
    if isinstance(value, str):
        read_moment(value)
    return value


def _whole(value: object) -> object:
    """Take 100.0 for 100, as JSON does: both are the same integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def no_nul(value: str) -> str:
    """Refuse a text with NUL."""
    # PostgreSQL's text holds everything but this one character, and no lone surrogates.
    if "\0" in value:
        raise ValueError("must not contain NUL characters")
    return value


def _free_name(value: str) -> str:
    if objects.is_taken(value):
        raise ValueError("is kept for other tables; ask for this object by its id (2-...)")
    return value


Identifier = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", max_length=LONGEST_ID)
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(no_nul)]
Whole = Annotated[int, BeforeValidator(_whole)]
Moment = Annotated[str, BeforeValidator(_moment)]
ObjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", max_length=LONGEST_ID),
    AfterValidator(_free_name),
]
PropertyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]
_TOLD_UNKNOWN = 20


class Model(BaseModel):
    """What clients send: to the letter, and never echoed."""

    model_config = ConfigDict(
        extra="forbid", strict=True, hide_input_in_errors=True, frozen=True, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_said(cls, value: Any) -> Any:
        """Take null for what is not said, in every field that need not be said.

        Of the names that nothing has, the first ones are told of, however many there are.
        """
        if not isinstance(value, dict):
            return value
        known = {each for name, of in cls.model_fields.items() for each in (name, of.alias)}
        if len(value) > len(known) + _TOLD_UNKNOWN:
            unknown = list(islice((name for name in value if name not in known), _TOLD_UNKNOWN))
            value = {name: said for name, said in value.items() if name in known} | dict.fromkeys(
                unknown
            )
        unsaid = {
            field.alias or name
            for name, field in cls.model_fields.items()
            if not field.is_required() and field.default is not None
        }
        return {
            name: said for name, said in value.items() if said is not None or name not in unsaid
        }


def _printable(value: SecretStr) -> SecretStr:
    # It becomes a header and an environment variable: neither can hold anything else.
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise ValueError("must consist of printable ASCII characters without spaces")
    return value


AccessToken = Annotated[SecretStr, Field(min_length=8, max_length=1024), AfterValidator(_printable)]
