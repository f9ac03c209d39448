"""What a column of a file is: under which headers it stands, and how its cells are read."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from drop_folder import phones

FIRST_DAY = date(1900, 1, 1)
HASHED = re.compile(r"hash\(([\w, ]+)\)")
EMPTY = ["", "..", "-", "00.00.0000", "0000-00-00"]


class Part(BaseModel):
    """A part of the mapping: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Column(Part):
    """Where a property's value comes from, and what it is."""

    column: str | list[str] = []
    source: str | None = Field(None, alias="from")
    template: str | None = None
    default: str | None = None
    type: Literal["text", "email", "number", "date", "phone"] = "text"
    formats: list[str] = ["%d.%m.%Y", "%d-%m-%Y", "%Y-%m-%d"]
    first: date = FIRST_DAY
    last: date | Literal["today"] | None = None
    region: str = "DE"
    empty: Literal["keep", "clear"] = "keep"
    empty_values: list[str] = EMPTY
    on_bad: Literal["reject", "blank"] = "reject"
    required: bool = False
    append: bool = False
    only_newer: bool = False
    label: str = ""
    options: list[str] = []

    @model_validator(mode="after")
    def _can_be_read(self) -> Column:
        if self.type == "phone" and not phones.IS_THERE:
            raise ValueError("type phone needs the package phonenumbers: drop-folder[phone]")
        if self.required and not self.names:
            raise ValueError("required goes with a column")
        for each in self.formats:
            try:
                datetime.strptime(FIRST_DAY.strftime(each), each)  # noqa: DTZ007 - a day
            except ValueError:
                raise ValueError(f"there are no days like {each}") from None
        return self

    @property
    def names(self) -> list[str]:
        """Every header under which the column may stand."""
        return [self.column] if isinstance(self.column, str) else self.column

    @property
    def last_day(self) -> date | None:
        """The last day that is one."""
        return datetime.now().astimezone().date() if self.last == "today" else self.last


class KeyValue(Part):
    """What identifies a deal: a column, or a hash of properties of the row."""

    column: str | list[str] = []
    otherwise: str | None = None

    @model_validator(mode="after")
    def _is_told(self) -> KeyValue:
        if self.otherwise is not None and not self.hashed:
            raise ValueError("otherwise has to be like hash(a, b)")
        return self

    @property
    def names(self) -> list[str]:
        """Every header under which the column may stand."""
        return [self.column] if isinstance(self.column, str) else self.column

    @property
    def hashed(self) -> list[str]:
        """The properties that are hashed where there is no column."""
        found = HASHED.fullmatch(self.otherwise or "")
        return [each.strip() for each in found[1].split(",")] if found else []
