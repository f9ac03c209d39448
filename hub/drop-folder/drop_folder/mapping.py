"""The mapping file: which folder, which columns become which properties, and who is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from drop_folder import workbooks
from drop_folder.columns import FIRST_DAY, Column, KeyValue, Part
from drop_folder.templates import fill

BANK = re.compile(r"\b(iban|bic|kontonummer|bankleitzahl|kontoinhaber)\b", re.IGNORECASE)


class MappingError(Exception):
    """The mapping cannot be used; the message names each line or key at fault."""


class Csv(Part):
    """How the files are written."""

    encoding: str = "auto"
    delimiter: Literal["auto", ";", ",", "\t", "|"] = "auto"
    decimal: Literal["comma", "point"] = "comma"

    @model_validator(mode="after")
    def _is_known(self) -> Csv:
        try:
            "".encode("utf-8" if self.encoding == "auto" else self.encoding)
        except LookupError:
            raise ValueError(f"there is no encoding {self.encoding}") from None
        return self


class Xlsx(Part):
    """Which sheet of an Excel file is read; None: the first."""

    sheet: str | None = None


class Site(Part):
    """Where the name of the site stands: in the file's name."""

    source: Literal["filename"] = Field("filename", alias="from")
    pattern: str

    @model_validator(mode="after")
    def _has_group(self) -> Site:
        try:
            names = re.compile(self.pattern).groupindex
        except re.error as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from None
        if "site" not in names:
            raise ValueError("the pattern needs a group (?P<site>...)")
        return self


class Contacts(Part):
    """What becomes a contact; `owner` is the address of the user who gets all of them."""

    key: str = "email"
    owner: str | None = None
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _has_key(self) -> Contacts:
        if self.key not in self.columns:
            raise ValueError(f"the key `{self.key}` is none of the columns")
        newer = [name for name, column in self.columns.items() if column.only_newer]
        if len(newer) > 1 or any(self.columns[name].type != "date" for name in newer):
            raise ValueError(f"only_newer is for one date column: {', '.join(newer)}")
        return self

    @property
    def newer(self) -> str | None:
        """The property that says how new a row is."""
        return next((name for name, each in self.columns.items() if each.only_newer), None)


class Deals(Part):
    """What becomes a deal: one for each row where `when` is filled."""

    when: str
    key: str
    value: KeyValue
    pipeline: str | None = None
    dealstage: str
    owner: str | None = None
    columns: dict[str, Column]


class Smtp(Part):
    """The mail server; its password stands in DROP_FOLDER_SMTP_PASSWORD."""

    host: str = "localhost"
    port: int = 25
    tls: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None


class Mail(Part):
    """Who is told, and when."""

    to: Annotated[list[str], Field(min_length=1)]
    sender: str = Field(alias="from")
    when: Literal["always", "problems", "never"] = "always"
    repeat_hours: float = 6.0
    smtp: Smtp = Smtp()


class Limits(Part):
    """When a file is refused as a whole."""

    max_rejected_percent: int = 50
    max_rows: int = 1_000_000


class HubSpot(Part):
    """Where HubSpot is; the token stands in HUBSPOT_ACCESS_TOKEN."""

    base_url: str = "https://api.hubapi.com"
    api_version: str = "2026-09"


class Mapping(Part):
    """The whole file."""

    folder: Path
    pattern: str | list[str] = "*.csv"
    settle_seconds: float = 60.0
    marker: str | None = None
    keep_days: Annotated[int, Field(ge=1)] | None = None
    give_up_hours: float = 24.0
    lock_path: Path | None = None
    on_duplicate: Literal["skip", "process"] = "skip"
    allow_bank_data: bool = False
    csv: Csv = Csv()
    xlsx: Xlsx = Xlsx()
    site: Site | None = None
    contacts: Contacts
    deals: Deals | None = None
    mail: Mail | None = None
    limits: Limits = Limits()
    hubspot: HubSpot = HubSpot()

    @model_validator(mode="after")
    def _can_read_workbooks(self) -> Mapping:
        if not workbooks.IS_THERE and any(map(workbooks.is_workbook, self.patterns)):
            raise ValueError("Excel files need the package python-calamine: drop-folder[xlsx]")
        return self

    @property
    def patterns(self) -> list[str]:
        """What names of files look like."""
        return [self.pattern] if isinstance(self.pattern, str) else self.pattern

    @model_validator(mode="after")
    def _fits_together(self) -> Mapping:
        columns = {**self.contacts.columns, **(self.deals.columns if self.deals else {})}
        bank = [name for each in columns.values() for name in each.names if BANK.search(name)]
        if bank and not self.allow_bank_data:
            raise ValueError(
                f"{', '.join(bank)}: account numbers belong into sensitive properties only; "
                "leave the column out, or set allow_bank_data"
            )
        if self.deals is not None:
            known = {"site", *self.contacts.columns}
            used = {self.deals.when, *self.deals.value.hashed}
            used |= {each.source for each in self.deals.columns.values() if each.source}
            if unknown := sorted(used - known):
                raise ValueError(f"deals name properties that contacts lack: {', '.join(unknown)}")
            if not self.deals.value.names and not self.deals.value.hashed:
                raise ValueError("deals.value needs a column, or otherwise: hash(a, b)")
            for name, each in self.deals.columns.items():
                if each.template is not None:
                    self._check_template(name, each.template)
        return self

    def _check_template(self, name: str, template: str) -> None:
        sample = dict.fromkeys(["site", *self.contacts.columns], "x")
        try:
            fill(template, sample | dict.fromkeys(self.days, FIRST_DAY.isoformat()), self.days)
        except (KeyError, ValueError, IndexError):
            raise ValueError(
                f"deals.columns.{name}: the template holds more than properties of contacts, site, "
                "and formats of days"
            ) from None

    @property
    def days(self) -> list[str]:
        """The properties of contacts that are days."""
        return [name for name, each in self.contacts.columns.items() if each.type == "date"]

    def site_of(self, name: str) -> str:
        """The site that a file's name tells; empty where it tells none."""
        found = re.search(self.site.pattern, name) if self.site else None
        return found["site"] if found else ""


def load(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        MappingError: If it cannot be read, naming each line and key at fault.
    """
    try:
        text = path.read_text("utf-8")
        content, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise MappingError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise MappingError(f"{path}{where} is no YAML.") from None
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        faults = [
            f"line {_line(node, each['loc'])}, "
            f"{'.'.join(map(str, each['loc'])) or 'mapping'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise MappingError(f"{path}: {'; '.join(faults)}.") from None


def _line(node: yaml.Node | None, keys: tuple[int | str, ...]) -> int:
    """The line of a key, or of the part that lacks it."""
    line = node.start_mark.line + 1 if node is not None else 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            found = (node.value[key], node.value[key])
        else:
            break
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
