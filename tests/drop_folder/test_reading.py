"""Files as people and programs write them, read by rule."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import jsonschema
import openpyxl
import pytest
from drop_folder.booking import BadRowError
from drop_folder.cells import BadCellError, address, clean, day, number, value_of
from drop_folder.columns import Column
from drop_folder.mapping import Mapping, MappingError, load
from drop_folder.rows import BadFileError
from drop_folder.tap import main, records_of, schema_of
from drop_folder.templates import fill
from harness.booking import HEADER, MAPPING, NAME, person, sheet

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ["%d.%m.%Y", "%d-%m-%Y"]


def read(
    content: str | bytes, tmp_path: Path, stream: str = "contacts", **changes: Any
) -> list[dict[str, Any] | BadRowError]:
    mapping = Mapping.model_validate({**MAPPING, "folder": str(tmp_path), **changes})
    path = tmp_path / NAME
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(records_of(mapping, path, stream, site="schorndorf"))


def column(**given: Any) -> Column:
    return Column.model_validate(given)


def first(found: list[dict[str, Any] | BadRowError]) -> dict[str, Any]:
    assert isinstance(found[0], dict), found[0]
    return found[0]


@pytest.mark.parametrize(
    "encoded",
    [
        sheet(person(1)).encode(),
        sheet(person(1)).encode("utf-8-sig"),
        sheet(person(1)).encode("cp1252"),
        sheet(person(1)).encode("utf-16"),
        ("sep=;\r\n" + sheet(person(1)).replace("\n", "\r\n")).encode(),
        sheet(person(1)).replace(";", "\t").encode(),
        sheet(person(1)).replace("1.234,50", '"1.234,50"').replace(";", ",").encode(),
        sheet(person(1)).replace("Vorname", " VORNAME\u00a0").encode(),
        sheet(person(1, Anschrift='"Str. 5\nHinterhaus"')).encode(),
    ],
    ids=["utf-8", "bom", "cp1252", "utf-16", "sep", "tab", "comma", "header", "quoted"],
)
def test_encodings_delimiters_and_headers_are_told_by_rule(encoded: bytes, tmp_path: Path) -> None:
    record = first(read(encoded, tmp_path))

    assert (record["firstname"], record["city"], record["zip"]) == ("Björn", "Köln", "01067")
    assert record["wert"] == "1234.50"


def test_the_sample_of_before_had_a_column_less_and_another_name_for_one(tmp_path: Path) -> None:
    value = "Wert der letzten Buchung (bezahlter Betrag)"
    rows = [line.split(";") for line in sheet(person(1)).splitlines()]
    gone = rows[0].index("Datum der nächsten zukünftigen Buchung")
    content = "\n".join(";".join(row[:gone] + row[gone + 1 :]) for row in rows)

    record = first(read(content.replace(value, "Wert der Buchung"), tmp_path))

    assert len(content.splitlines()[0].split(";")) == 25
    assert (record["wert"], record["kontaktkategorie"]) == ("1234.50", ";McArena schorndorf")


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    rows = sheet(person(1, Anschrift='"zwei\nZeilen"'), "", person(2, **{"E-Mail": "x"}))

    _, bad = read(f"sep=;\n{rows}", tmp_path)

    assert isinstance(bad, BadRowError)
    assert (bad.line, bad.column, bad.reason) == (6, "E-Mail", "keine E-Mail-Adresse")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (sheet(person(1)).replace("Köln", "K\x00"), "Zeile 2"),
        (sheet(person(1)).replace("Köln", "K\ufffd"), "Zeile 2"),
        (sheet(person(1), 'a;"b'), "Zeile"),
        (HEADER.replace("E-Mail", "Mail") + "\n", "Spalten fehlen: E-Mail"),
        ("E-Mail;" * 200_000, "kein Ende"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=said):
        read(content, tmp_path)


def test_a_header_alone_is_a_file_without_rows(tmp_path: Path) -> None:
    assert read(HEADER + "\n", tmp_path) == []


def test_bank_data_stays_in_the_house(tmp_path: Path) -> None:
    record = first(read(sheet(person(1)), tmp_path))

    assert "DE00" not in str(record)


def test_a_deal_has_one_key_for_one_booking(tmp_path: Path) -> None:
    found = read(sheet(person(1), person(1), person(2)), tmp_path, "deals")

    keys = [each["buchungsnummer"] for each in found if isinstance(each, dict)]
    assert keys[0] == keys[1] != keys[2]
    assert first(found)["_associations"] == [
        {"to": "contacts", "key": "email", "value": "muster1@beispiel-verein.de"}
    ]


@pytest.mark.parametrize("stream", ["contacts", "deals"])
def test_the_schema_names_every_field_of_a_record(stream: str, tmp_path: Path) -> None:
    mapping = Mapping.model_validate({**MAPPING, "folder": str(tmp_path)})
    path = tmp_path / NAME
    path.write_text(sheet(person(1)), "utf-8")

    (record,) = records_of(mapping, path, stream, site="ulm")

    schema = schema_of(mapping, stream)["schema"]
    jsonschema.validate(record, {**schema, "additionalProperties": False})


def test_a_row_without_a_booking_is_no_deal(tmp_path: Path) -> None:
    assert read(sheet(person(1, **{"Datum der letzten Buchung": ".."})), tmp_path, "deals") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1 234,56\u00a0€", "1234.56"),
        ("EUR 12", "12"),
        ("-3,50", "-3.50"),
        ("3,50-", "-3.50"),
        ("1.234", "1234"),
    ],
)
def test_amounts_are_read_with_the_comma(text: str, value: str) -> None:
    assert number(text, decimal="comma") == value


@pytest.mark.parametrize("text", ["12.34", "1,2,3", "zwölf", "1e5", "--3", "\uff11\uff12"])
def test_no_amount_is_guessed(text: str) -> None:
    with pytest.raises(BadCellError):
        number(text, decimal="comma")


@pytest.mark.parametrize("text", ["31.02.2026", "1.1.26", "01.01.1899", "gestern", "31.12.2099"])
def test_days_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadCellError):
        day(text, column(type="date", formats=FORMATS, last="today"))


def test_a_day_that_the_century_before_did_not_have_is_none() -> None:
    old = column(type="date", formats=["%d.%m.%y"], last="1990-01-01")

    with pytest.raises(BadCellError):
        value_of(old, "29.02.00", decimal="comma")


def test_a_template_leaves_out_what_is_empty_and_takes_no_number_for_a_day() -> None:
    values = {"name": "20240105", "booked": "2026-11-03", "next": ""}

    assert fill("{name} {booked:%d.%m.} {next:%d.%m.}", values, ["booked", "next"]) == (
        "20240105 03.11. "
    )


def test_a_year_of_two_digits_is_one_of_the_last_hundred() -> None:
    birthday = column(type="date", formats=["%d.%m.%y"], last=date(2026, 11, 28))

    found = [day(text, birthday) for text in ("24.12.59", "28.11.26", "29.11.26")]

    assert found == ["1959-12-24", "2026-11-28", "1926-11-29"]


def test_telephone_numbers_get_one_form_where_that_is_asked_for() -> None:
    written = column(type="phone")

    assert value_of(written, "0711 / 12 34-567", decimal="comma") == "+497111234567"
    assert value_of(written, "nur vormittags", decimal="comma") == "nur vormittags"
    assert value_of(column(), "0711 / 12", decimal="comma") == "0711 / 12"


def test_an_excel_file_holds_the_same(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.create_sheet("Kunden")
    rows = list(
        csv.reader(
            io.StringIO(sheet(person(1), "", person(2, **{"E-Mail": "x"}))), "excel", delimiter=";"
        )
    )
    for row in rows:
        book["Kunden"].append(row)
    place = rows[0].index("Datum der letzten Buchung")
    book["Kunden"].cell(2, place + 1, datetime(2026, 11, 3))  # noqa: DTZ001 - as Excel has it
    book["Kunden"].cell(2, place + 2, 1234.5)
    book["Kunden"].cell(2, rows[0].index("PLZ") + 1, 1067)
    path = tmp_path / "export-ulm_1.xlsx"
    book.save(path)
    changes = {"folder": str(tmp_path), "xlsx": {"sheet": "Kunden"}}
    mapping = Mapping.model_validate({**MAPPING, **changes})

    record, bad = records_of(mapping, path, "contacts", site="ulm")
    (deal, *_) = records_of(mapping, path, "deals", site="ulm")

    assert isinstance(record, dict)
    names = ("firstname", "zip", "date_of_birth", "letzte_buchung", "wert")
    assert [record[name] for name in names] == [
        "Björn",
        "1067",
        "1959-12-24",
        "2026-11-03",
        "1234.5",
    ]
    assert isinstance(bad, BadRowError)
    assert (bad.line, bad.column) == (4, "E-Mail")
    assert isinstance(deal, dict)
    assert deal["dealname"] == "McArena ulm 03.11.2026"


@pytest.mark.parametrize(("sheet_name", "said"), [("Kunden", "'Kunden' fehlt"), (None, "leer")])
def test_an_excel_file_without_the_sheet_or_its_rows_is_refused(
    sheet_name: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "export-ulm_1.xlsx"
    openpyxl.Workbook().save(path)
    changes = {"folder": str(tmp_path), "xlsx": {"sheet": sheet_name}}
    mapping = Mapping.model_validate({**MAPPING, **changes})

    with pytest.raises(BadFileError, match=said):
        list(records_of(mapping, path, "contacts", site="ulm"))
    path.write_text("nothing")
    with pytest.raises(BadFileError, match="keine Excel-Datei"):
        list(records_of(mapping, path, "contacts", site="ulm"))


@pytest.mark.parametrize("text", ["a..b@x.de", ".a@x.de", "a@-x.de", "a@x-.de", "a@x", "a@x.d"])
def test_addresses_that_nobody_can_have_are_refused(text: str) -> None:
    with pytest.raises(BadCellError):
        address(text)


@pytest.mark.parametrize("text", ["a\u2013b@x.de", "max@café.example", "o'neill+1@x-y.co.uk"])
def test_addresses_that_hubspot_takes_are_taken(text: str) -> None:
    assert address(text) == text


def test_cells_lose_what_nobody_sees() -> None:
    assert clean("\ufeff\u00a0Jose\u0301\u200b ") == "José"
    assert address(" <MAX@Bücher.example>; b@example.com") == "max@bücher.example"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("folder: [", "is no YAML"),
        ("folder: x", "line 1, contacts: Field required"),
        ("folder: x\n\na: 1", "line 3, a: Extra inputs"),
        (
            "folder: x\ncontacts:\n  columns:\n    email: {column: E-Mail}\n    b:\n      typ: x",
            "line 6, contacts.columns.b.typ: Extra inputs",
        ),
    ],
)
def test_a_mapping_is_refused_by_line_and_key(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yml"
    path.write_text(text)

    with pytest.raises(MappingError, match=said):
        load(path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([1], "no JSON object"),
        ({"files": []}, "mapping: missing"),
        ({"mapping": "m.yml"}, "files: missing"),
        ({"mapping": 5, "files": "x", "left_out": 3}, "mapping, files, left_out: missing, or of"),
        ({"mapping": "m.yml", "files": [5]}, "files: missing, or of another type"),
        ({"mapping": "m.yml", "files": [], "site": None}, "m.yml cannot be read"),
    ],
)
def test_the_tap_alone_names_settings_that_are_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config: Any,
    words: str,
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    monkeypatch.setattr(sys, "argv", ["tap-booking-csv", "--config", str(path)])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert words in capsys.readouterr().err
