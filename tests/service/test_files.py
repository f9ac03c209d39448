"""Files give back what HubSpot has: each is read again with what people read such files with."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape
from pyarrow import parquet
from scan_service.db import Database
from scan_service.ledger import scans
from scan_service.records import files, workbook
from scan_service.records.objects import Part, parts
from scan_service.records.projection import value as value_of
from scan_service.records.rows import END
from scan_service.records.table import Column, csv_line, file_columns
from service.kit import TENANT

if TYPE_CHECKING:
    from pathlib import Path

    from scan_service.settings import Settings
    from service.kit import Client, Ledger

EMOJI = "\U0001f389"
# Texts of 40,000 UTF-16 units and more, pairs at the border; what XML would change; big numbers.
ODD: dict[str, Any] = {
    "pairs": EMOJI * 20_000,
    "shifted": "x" + EMOJI * 20_000,
    "fits": EMOJI * 16_000 + "_x000D_",
    "escape": "_x000D_ and _x0041_ and _x005F_",
    "breaks": "one\r\ntwo\rthree\nfour",
    "control": "bell \x07, tab \t and null-like \x01",
    "huge": Decimal("1E+400"),
    "tiny": Decimal("1E-400"),
    "exact": Decimal("12345678901234567890.5"),
    "carried": Decimal("99999999999999999999999999999.123456789"),
}
EXACT = [
    "+4930123456", "+1 (555) 010-0100", "-5.00", "0049/30 123", "a; -5", "one\n- two\n- three",
    "mail@example.com", "2 + 2", "a=b",
]  # fmt: skip
FORMULAS = {
    '=HYPERLINK("http://evil","x")': '\'=HYPERLINK("http://evil","x")',
    "x;=cmd|' /C calc'!A0": "x;'=cmd|' /C calc'!A0",
    "x\n@SUM(A1)": "x\n'@SUM(A1)",
    "\uff1dcmd()": "'\uff1dcmd()",
    "+cmd|x!A1": "'+cmd|x!A1",
    " =1+1": "' =1+1",
    "x; -cmd|' /C calc'!A0": "x; '-cmd|' /C calc'!A0",
}


@pytest.fixture
def asked(client: Client, ledger: Ledger) -> Client:
    """A tenant with a finished scan of odd values."""
    texts = {f"text_{n}": text for n, text in enumerate([*EXACT, *FORMULAS])}
    odd = {name: value for name, value in ODD.items() if isinstance(value, str)}
    numbers = {name: value for name, value in ODD.items() if not isinstance(value, str)}
    client.start("odd")
    ledger.make_results("odd", [{"id": "1", "archived": False, **texts, **odd}])
    for name, value in numbers.items():
        ledger.run(
            "update scans.deals set properties = properties || jsonb_build_object(%s::text, %s)",
            name,
            value,
        )
    ledger.complete("odd")
    return client


def download(client: Client, form: str, **options: Any) -> bytes:
    response = client.get(f"/api/v1/scan/download/odd/{form}", **options)
    assert response.status_code == 200, response.text
    return response.content


def read_excel(content: bytes) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    head, row = book["deals"].iter_rows(values_only=True)
    notes = list(book["notes"].iter_rows(values_only=True, min_row=2))
    return dict(zip(map(str, head), row, strict=True)), notes


def test_excel_holds_every_character_and_says_what_it_cut(asked: Client) -> None:
    cells, notes = read_excel(download(asked, "excel"))

    for name in ("escape", "breaks", "control", "fits"):
        assert unescape(cells[name]) == ODD[name]
    for name in ("pairs", "shifted"):
        assert len(cells[name].encode("utf-16-le")) // 2 <= 32_767
        kept, ending = cells[name].split("... [cut from ")
        assert ODD[name].startswith(kept)
        assert len(kept) > 16_000
        assert ending == f"{len(ODD[name])} characters]"
    assert sorted(note[2].split(" cut")[0] for note in notes) == [
        "text of 20000 characters", "text of 20001 characters",
    ]  # fmt: skip
    for n, text in enumerate([*EXACT, *FORMULAS]):
        assert cells[f"text_{n}"] == text


def test_excel_keeps_numbers_that_a_spreadsheet_cannot_hold_as_text(asked: Client) -> None:
    cells, _ = read_excel(download(asked, "excel"))

    for name in ("huge", "tiny", "exact", "carried"):
        assert isinstance(cells[name], str)
        assert Decimal(cells[name]) == ODD[name]


def test_csv_keeps_numbers_and_phone_numbers_and_guards_formulas_of_every_kind(
    asked: Client,
) -> None:
    text = download(asked, "csv").decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))

    texts = [row[f"text_{n}"] for n in range(len(EXACT) + len(FORMULAS))]
    assert texts == [*EXACT, *FORMULAS.values()]
    for name in ("pairs", "breaks", "escape"):
        assert row[name] == ODD[name]
    for name in ("huge", "tiny", "exact"):
        assert Decimal(row[name]) == ODD[name]


UNFIT = {
    "amount": "N/A", "closedate": "20231-01-01T00:00:00Z", "hs_is_closed": "perhaps",
    "hs_next_activity_date": "2025-13-45T99:00:00.5Z",
}  # fmt: skip


def test_a_text_that_does_not_fit_its_type_stands_in_its_cell(
    client: Client, ledger: Ledger
) -> None:
    client.start("odd")
    ledger.make_results("odd", [
        {"id": "1", "amount": "5.50", "closedate": "2025-02-28T00:00:00Z"},
        {"id": "2", "unparsed_properties": UNFIT},
    ])  # fmt: skip
    ledger.complete("odd")
    headings = {"hs_is_closed": "is_closed"}

    _, in_csv = csv.DictReader(io.StringIO(download(client, "csv").decode(), newline=""))
    book = openpyxl.load_workbook(io.BytesIO(download(client, "excel")))
    head, _, cells = book["deals"].iter_rows(values_only=True)
    _, typed = parquet.read_table(io.BytesIO(download(client, "parquet"))).to_pylist()
    _, in_json = json.loads(download(client, "json"))

    for row in (in_csv, dict(zip(head, cells, strict=True)), typed):
        assert {name: row[headings.get(name, name)] for name in UNFIT} == UNFIT
    assert in_json["unparsedProperties"] == UNFIT


def test_properties_that_a_scan_chose_have_their_column_without_any_value(
    client: Client, ledger: Ledger
) -> None:
    client.start("odd", properties=["hs_all_team_ids", "hs_not_defined"])
    ledger.make_results("odd", [{"id": "1"}])
    ledger.complete("odd")

    (head,) = csv.reader([download(client, "csv").decode().splitlines()[0]])

    assert "hs_all_team_ids" in head
    assert "hs_not_defined" not in head


def test_a_scan_has_no_files_before_it_is_known_what_is_in_them(
    client: Client, ledger: Ledger
) -> None:
    client.start("odd")
    ledger.make_results("odd", [{"id": "1", "hs_odd": "only rows know this"}])
    ledger.run(  # as a scan ends whose worker is lost
        "update scan set status = 'failed', started_at = now(), completed_at = now(), token = null,"
        " slot = null, job_id = null"
    )

    early = client.get("/api/v1/scan/download/odd/csv")
    ledger.count()

    assert early.status_code == 409
    assert "being counted" in early.json()["error"]["message"]
    assert "only rows know this" in download(client, "csv").decode()


def test_no_column_has_the_name_of_another_property() -> None:
    scan = {
        "tenant_id": TENANT, "scan_id": "odd",
        "columns": {"deals": {
            "standard": {"deal_id": "text", "contacts": "text"},
            "custom": {
                "archived": "text", "custom_archived": "text", "property_deal_id": "text",
                "associated_contacts": "text",
            },
        }},
    }  # fmt: skip
    part = Part("deals", associations=("contacts", "companies"))

    found = file_columns(part, {}, scan, custom=True, associations=True)

    assert [column.heading for column in found][-8:] == [
        "property_property_deal_id", "contacts", "associated_associated_contacts", "companies",
        "custom_custom_archived", "custom_archived", "property_deal_id", "associated_contacts",
    ]  # fmt: skip


def test_excel_shows_milliseconds_and_takes_no_other_text_for_a_time(tmp_path: Path) -> None:
    kinds = ["moment", "moment", "day", "day", "moment"]
    texts = ["2025-02-28T10:00:00.123Z", "2025-02-28T10:00:00Z", "2025-02-28", "2025-W09-5", "1"]
    sheets = workbook.Sheets("deals", [(f"c{n}", kind) for n, kind in enumerate(kinds)])
    sheets.add(texts)
    sheets.save(str(tmp_path / "x.xlsx"))

    row = openpyxl.load_workbook(tmp_path / "x.xlsx")["deals"][2]

    assert [cell.value for cell in row] == [
        datetime(2025, 2, 28, 10, 0, 0, 123_000), datetime(2025, 2, 28, 10),  # noqa: DTZ001
        datetime(2025, 2, 28), "2025-W09-5", "1",  # noqa: DTZ001
    ]  # fmt: skip
    assert [cell.number_format.endswith(".000") for cell in row] == [True, *[False] * 4]


def test_what_prints_a_line_of_csv_is_planned_once_however_many_columns_it_has() -> None:
    def functions(width: int) -> list[str]:
        columns = [
            Column(f"c{n}", value_of(f"c{n}"), ("json", "moment")[n % 2]) for n in range(width)
        ]
        return re.findall(r"csv_\w+", csv_line(columns).as_string())

    assert functions(17_000) == functions(2) == ["csv_quoted", "csv_value"]


def test_csv_begins_with_a_byte_order_mark_when_told(asked: Client) -> None:
    plain = download(asked, "csv")
    marked = download(asked, "csv?bom=true")

    assert marked == b"\xef\xbb\xbf" + plain
    assert asked.get("/api/v1/scan/download/odd/csv?bom=1").status_code == 400


def test_ndjson_is_one_record_a_line_and_the_same_as_json(asked: Client) -> None:
    array = json.loads(download(asked, "json"), parse_float=Decimal)
    lines = download(asked, "ndjson").splitlines()

    assert [json.loads(line, parse_float=Decimal) for line in lines] == array
    assert array[0]["properties"]["exact"] == ODD["exact"]


def test_files_and_pages_go_out_gzipped_where_that_is_allowed(asked: Client) -> None:
    for path in ("download/odd/csv", "download/odd/ndjson", "result/odd"):
        with asked.http.stream(
            "GET",
            f"/api/v1/scan/{path}",
            headers={"Authorization": f"Bearer {asked.key}", "Accept-Encoding": "gzip"},
        ) as response:
            raw = b"".join(response.iter_raw())
        refused = asked.get(f"/api/v1/scan/{path}", headers={"Accept-Encoding": "br, gzip;q=0.0"})
        plain = refused.content

        assert "Content-Encoding" not in refused.headers
        assert refused.headers["Vary"] == "Accept-Encoding"
        assert response.headers["Content-Encoding"] == "gzip"
        unpacked = gzip.decompress(raw)
        assert unpacked == plain or path == "result/odd"  # which says the time
        assert len(raw) < len(plain) / 5


@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed")
def test_libreoffice_reads_the_same_texts(asked: Client, tmp_path: Path) -> None:
    (tmp_path / "odd.xlsx").write_bytes(download(asked, "excel"))
    subprocess.run(
        ["soffice", "--headless", "--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76",
         "--outdir", str(tmp_path), str(tmp_path / "odd.xlsx")],
        check=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    with (tmp_path / "odd.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)

    assert row["escape"] == ODD["escape"]
    assert [row[f"text_{n}"] for n in range(len(EXACT))] == EXACT


def write_workbook(folder: Path, title: str, lines: bytes) -> subprocess.CompletedProcess[bytes]:
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "scan_service.records.workbook", str(folder / "x.xlsx"), title],
        input=lines, env={**os.environ, "TMPDIR": str(temporary)}, check=False,
    )  # fmt: skip


def test_an_object_type_called_history_gets_another_sheet_name(tmp_path: Path) -> None:
    done = write_workbook(tmp_path, "History", b'[["id", "text", "text"]]\n["1"]\n' + END)

    assert done.returncode == 0
    assert openpyxl.load_workbook(tmp_path / "x.xlsx").sheetnames == ["History records"]


def test_what_a_sheet_cannot_hold_stands_on_the_next_ones(tmp_path: Path) -> None:
    names = ["id", "a", "b", "c", "d", "e"]
    sheets = workbook.Sheets("deals", [(name, "text") for name in names], rows=3, width=4)
    for number in range(3):
        sheets.add([str(number), *(f"{name}{number}" for name in names[1:])])
    sheets.save(str(tmp_path / "x.xlsx"))

    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    found = {sheet.title: [[*row] for row in sheet.iter_rows(values_only=True)] for sheet in book}
    assert found == {
        "deals": [["id", "a", "b", "c"], ["0", "a0", "b0", "c0"], ["1", "a1", "b1", "c1"]],
        "deals columns 2": [["id", "d", "e"], ["0", "d0", "e0"], ["1", "d1", "e1"]],
        "deals 2": [["id", "a", "b", "c"], ["2", "a2", "b2", "c2"]],
        "deals columns 2 2": [["id", "d", "e"], ["2", "d2", "e2"]],
    }
    assert (workbook.LAST_ROW, workbook.LAST_COLUMN) == (2**20, 2**14), "Excel's own limits"


def test_a_writer_whose_server_died_leaves_neither_a_file_nor_a_folder(tmp_path: Path) -> None:
    done = write_workbook(tmp_path, "deals", b'[["id", "text", "text"]]\n["1"]\n')

    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_amounts_that_were_not_converted_are_told_and_never_added_up(
    client: Client, ledger: Ledger
) -> None:
    client.start("money")
    ledger.make_results("money", [
        {"id": "1", "amount": "100.00", "amount_in_home_currency": "46.10",
         "deal_currency_code": "EUR"},
        {"id": "2", "amount": "100000", "deal_currency_code": "JPY"},
        {"id": "3", "amount": "5.50"},
    ])  # fmt: skip
    ledger.complete("money")

    summary = json.loads(client.get("/api/v1/scan/result/money").text, parse_float=Decimal)
    summary = summary["data"]["summary"]

    assert summary["totalAmount"] == Decimal("51.60")
    assert summary["openAmount"] == Decimal("51.60")
    assert summary["notConverted"] == {"JPY": {"deals": 1, "amount": 100_000}}


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_who_leaves_in_the_middle_of_a_file_holds_no_connection(
    form: str, asked: Client, ledger: Ledger, settings: Settings
) -> None:
    # More than is on its way between two processes: the database still prints.
    ledger.run(
        "insert into scans.deals (_tenant_id, _scan_id, id, properties)"
        " select %s, 'odd', 'x' || number, jsonb_build_object('text', repeat('x', 4000))"
        " from generate_series(1, 1000) as number",
        TENANT,
    )
    assert asked.key

    async def leave() -> int:
        db = Database(settings.database_url, exports=1)
        await db.open()
        try:
            scan = await scans.find(db, TENANT, "odd", of="deals")
            async with asyncio.timeout(30), files.opened(
                db, scan, parts(scan["config"])["deals"], form,
                associations=False, custom=True, mark=False,
            ) as pieces:  # fmt: skip
                return len(await anext(pieces))
        finally:
            await db.close()

    assert asyncio.run(leave()) >= 64 * 1024
