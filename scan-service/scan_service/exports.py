"""Knows how the rows of a scan become a file: JSON and CSV by COPY, Excel through a child process.

Memory stays flat: PostgreSQL prints, and what it printed goes out in pieces.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import open_file
from psycopg import sql

from scan_service import processes
from scan_service.errors import InternalError
from scan_service.logs import logger
from scan_service.results import DEALS, column, columns, deal_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from scan_service.db import Connection, Database
    from scan_service.models import DownloadQuery

_log = logger(__name__)
_PIECE = 64 * 1024
# The text format of COPY doubles backslashes; this one leaves JSON alone. Neither character can
# occur in JSON text unescaped.
_VERBATIM = sql.SQL("with (format csv, quote E'\\x01', delimiter E'\\x02')")
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "excel": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
EXTENSIONS = {"json": "json", "csv": "csv", "excel": "xlsx"}


class Column:
    """One column of a file: its heading, how CSV prints it, and what kind of cell it is."""

    def __init__(self, heading: str, text: sql.Composable, cell: sql.Composable, kind: str) -> None:
        self.heading = heading
        self.text = text
        self.cell = cell
        self.kind = kind


@asynccontextmanager
async def opened(
    db: Database, scan: dict[str, Any], form: str, query: DownloadQuery
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the pieces of a file; whatever can fail early fails before the first one."""
    wanted = (scan["config"].get("associations") or []) if query.include_associations else None
    async with db.export(scan["tenant_id"]) as connection:
        present = await columns(connection)
        rows = sql.SQL(
            "from (select * from {} where _tenant_id = {} and _scan_id = {}"
            ' order by id collate "C") as d'
        ).format(DEALS, sql.Literal(scan["tenant_id"]), sql.Literal(scan["scan_id"]))
        if form == "json":
            printed = deal_json(
                present, associations=wanted, raw=False, custom=query.include_custom_props
            )
            select = sql.SQL("select {} {}").format(printed, rows) if present else None
            yield _joined(_json_array(connection, select))
            return
        used = scan["columns"] or {"standard": [], "custom": []}
        table = _columns(
            present, used["standard"], used["custom"] if query.include_custom_props else [], wanted
        )
        if form == "csv":
            yield _joined(_csv(connection, table, rows if present else None))
            return
        async with _workbook(connection, table, rows if present else None) as pieces:
            yield pieces


def _columns(
    present: dict[str, str],
    standard: Iterable[str],
    custom: Iterable[str],
    associations: list[str] | None,
) -> list[Column]:
    """Return the document's nine columns, the fixed ones it forgot, and then what the scan has."""
    headings = {
        "id": "deal_id",
        "hs_is_closed_won": "is_closed_won",
        "read_at": "extracted_at",
        "hs_is_closed": "is_closed",
        "hs_deal_stage_probability": "deal_stage_probability",
        "hs_lastmodifieddate": "lastmodifieddate",
    }
    first = (
        "id", "dealname", "amount", "closedate", "dealstage", "pipeline", "hubspot_owner_id",
        "hs_is_closed_won", "read_at", "hs_is_closed", "hs_deal_stage_probability", "createdate",
        "hs_lastmodifieddate", "archived",
    )  # fmt: skip
    found = [
        _own(headings.get(name, name), name, present)
        for name in (*first, *(name for name in standard if name in present))
    ]
    taken = {entry.heading for entry in found}
    for kind in associations or ():
        ids = sql.SQL("link_ids({}::jsonb -> {})").format(
            column("associations", present), sql.Literal(kind)
        )
        # A deal may have a property of that name, and two columns of one name help nobody.
        heading = kind if kind not in taken else f"associated_{kind}"
        taken.add(heading)
        found.append(Column(heading, ids, ids, "text"))
    for name in custom if "custom_properties" in present else ():
        value = sql.SQL("(d.custom_properties::jsonb -> {})").format(sql.Literal(name))
        heading = name if name not in taken else f"custom_{name}"
        text = sql.SQL("csv_value({})").format(value)
        found.append(Column(heading, text, sql.SQL("{}::text").format(value), "json"))
    return found


def _own(heading: str, name: str, present: dict[str, str]) -> Column:
    kind = present.get(name, "")
    value = column(name, present)
    if kind in {"numeric", "integer", "bigint", "double precision", "real", "smallint"}:
        return Column(heading, value, sql.SQL("{}::text").format(value), "number")
    if kind == "boolean":
        text = sql.SQL("{}::text").format(value)
        return Column(heading, text, text, "boolean")
    if kind == "timestamp with time zone":
        text = sql.SQL("moment_text({})").format(value)
        return Column(heading, text, text, "moment")
    if kind == "date":
        text = sql.SQL("{}::text").format(value)
        return Column(heading, text, text, "day")
    if kind in {"json", "jsonb", "ARRAY"}:
        printed = sql.SQL("to_jsonb({})").format(value)
        text = sql.SQL("csv_value({})").format(printed)
        return Column(heading, text, sql.SQL("{}::text").format(printed), "json")
    text = sql.SQL("{}::text").format(value)
    return Column(heading, sql.SQL("csv_text({})").format(text), text, "text")


async def _json_array(
    connection: Connection, select: sql.Composable | None
) -> AsyncIterator[bytes]:
    yield b"["
    if select is not None:
        comma = b""
        statement = sql.SQL("copy ({}) to stdout {}").format(select, _VERBATIM)
        async for row in _copied(connection, statement):
            yield comma + row.rstrip(b"\n")
            comma = b",\n"
    yield b"]\n"


async def _csv(
    connection: Connection, table: list[Column], rows: sql.Composable | None
) -> AsyncIterator[bytes]:
    selected = sql.SQL(", ").join(
        sql.SQL("{} as {}").format(entry.text, sql.Identifier(entry.heading)) for entry in table
    )
    # Without a table the headings stand alone: an empty scan is a file too.
    source = rows or sql.SQL("where false")
    async for row in _copied(
        connection,
        sql.SQL("copy (select {} {}) to stdout with (format csv, header)").format(selected, source),
    ):
        yield row


async def _copied(connection: Connection, statement: sql.Composed) -> AsyncIterator[bytes]:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        async for row in copy:
            yield bytes(row)


async def _joined(rows: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join rows to pieces: a server sends 64 KB seven times faster than it sends 1,000 lines."""
    piece = bytearray()
    async for row in rows:
        piece += row
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


@asynccontextmanager
async def _workbook(
    connection: Connection, table: list[Column], rows: sql.Composable | None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Let a child process write the workbook, since that takes a core for minutes."""
    with tempfile.TemporaryDirectory(prefix="scan-export-") as folder:
        path = Path(folder) / "deals.xlsx"
        command = [sys.executable, "-m", "scan_service.workbook", str(path)]
        async with processes.piped(command) as child:
            head = [[entry.heading, entry.kind] for entry in table]
            await child.write(json.dumps(head).encode() + b"\n")
            if rows is not None:
                cells = sql.SQL(", ").join(entry.cell for entry in table)
                statement = sql.SQL(
                    "copy (select to_json(array[{}]::text[]) {}) to stdout {}"
                ).format(cells, rows, _VERBATIM)
                async for piece in _joined(_copied(connection, statement)):
                    await child.write(piece)
            code = await child.end()
        if code:
            _log.error("the workbook could not be written", exit_code=code)
            raise InternalError
        yield _file(path)


async def _file(path: Path) -> AsyncIterator[bytes]:
    async with await open_file(path, "rb") as file:
        while piece := await file.read(_PIECE):
            yield piece
