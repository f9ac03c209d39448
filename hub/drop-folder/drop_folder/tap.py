"""`tap-booking-csv`: given files, by a mapping, as the Singer streams `contacts` and `deals`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from drop_folder.booking import BadRowError, Reader
from drop_folder.mapping import Mapping, MappingError, load
from drop_folder.names import shown
from drop_folder.rows import BadFileError
from drop_folder.sheets import open_sheet

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

STREAMS = ("contacts", "deals")
LINK = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("to", "key", "value")},
}
SOURCE = {"_sdc_source_file": {"type": "string"}, "_sdc_source_lineno": {"type": "integer"}}


def schema_of(mapping: Mapping, stream: str, fixed: Iterable[str] = ()) -> dict[str, Any]:
    """The SCHEMA message of a stream, with the fields that every record has besides."""
    if stream == "contacts":
        names, key = list(mapping.contacts.columns), mapping.contacts.key
    else:
        assert mapping.deals is not None  # noqa: S101 - for the type checker
        more = ["pipeline"] if mapping.deals.pipeline else []
        names = [mapping.deals.key, "dealstage", *more, *mapping.deals.columns]
        key = mapping.deals.key
    properties: dict[str, Any] = {name: {"type": ["string", "null"]} for name in [*names, *fixed]}
    if stream == "deals":
        properties["_associations"] = {"type": "array", "items": LINK}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": {**properties, **SOURCE}},
        "key_properties": [key],
    }


def streams_of(mapping: Mapping) -> list[str]:
    """The streams that a mapping makes."""
    return [each for each in STREAMS if each == "contacts" or mapping.deals is not None]


def records_of(
    mapping: Mapping, path: Path, stream: str, *, site: str, left_out: Collection[int] = ()
) -> Iterator[dict[str, Any] | BadRowError]:
    """Read the records of one stream; rows that cannot be sent come as what is wrong with them.

    Raises:
        BadFileError: If the file cannot be read.
    """
    sheet = open_sheet(path, mapping)
    reader = Reader(mapping, sheet, site)
    for row in sheet.rows():
        if row.line in left_out:
            continue
        try:
            booking = reader.read(row)
        except BadRowError as bad:
            yield bad
            continue
        values: dict[str, Any] | None = booking.contact if stream == "contacts" else booking.deal
        if values is not None:
            yield {**values, "_sdc_source_file": shown(path.name), "_sdc_source_lineno": row.line}


def emit(config: dict[str, Any], out: IO[str]) -> int:
    """Write the messages of the files that a config names.

    Args:
        config: `mapping`, `files`, and perhaps `streams`, `left_out` (lines), `site`, `owners` (ids
            by stream), `rejected_path` (a JSON object for each row that cannot be sent).
        out: Where to.

    Returns:
        How many rows could not be sent.
    """
    mapping = load(Path(config["mapping"]))
    rejected = 0
    for stream in config.get("streams") or streams_of(mapping):
        owner = (config.get("owners") or {}).get(stream)
        fixed = {"hubspot_owner_id": owner} if owner else {}
        out.write(json.dumps(schema_of(mapping, stream, fixed)) + "\n")
        for name in config["files"]:
            path = Path(name)
            site = config.get("site") or mapping.site_of(shown(path.name))
            left_out = set(config.get("left_out") or ())
            for each in records_of(mapping, path, stream, site=site, left_out=left_out):
                if isinstance(each, BadRowError):
                    rejected += 1
                    print(f"{shown(path.name)}, {said(each)}", file=sys.stderr)  # noqa: T201
                    _put_aside(config.get("rejected_path"), shown(path.name), each)
                    continue
                message = {"type": "RECORD", "stream": stream, "record": {**each, **fixed}}
                out.write(json.dumps(message, ensure_ascii=False) + "\n")
    out.flush()
    return rejected


def _put_aside(rejected_path: str | None, name: str, bad: BadRowError) -> None:
    """Add a row that cannot be sent to the file of those; the row itself stays where it is."""
    if rejected_path is None:
        return
    entry = {"file": name, "line": bad.line, "column": bad.column, "reason": bad.reason}
    descriptor = os.open(rejected_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def said(bad: BadRowError) -> str:
    """What is wrong with a row, for people; no value."""
    column = f", Spalte {bad.column}" if bad.column else ""
    return f"Zeile {bad.line}{column}: {bad.reason}"


TYPES: dict[str, type] = {
    "mapping": str,
    "files": list,
    "streams": list,
    "left_out": list,
    "site": str,
    "owners": dict,
    "rejected_path": str,
}


def _config(path: Path, *needed: str) -> dict[str, Any]:
    """The settings of a file; those that are null are none.

    Args:
        path: Of the file.
        needed: The settings that must be there.

    Raises:
        ValueError: If it holds something else; the message names what.
    """
    found: Any = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object.")  # noqa: TRY004 - it is told as the others
    config = {name: each for name, each in found.items() if each is not None}
    odd = [name for name, kind in TYPES.items() if not isinstance(config.get(name, kind()), kind)]
    odd += [name for name in needed if name not in config]
    if not odd and not all(isinstance(each, str) for each in config.get("files", [])):
        odd = ["files"]
    if odd:
        raise ValueError(f"{path}: {', '.join(odd)}: missing, or of another type than it has.")
    return config


def main() -> None:
    """The command line of a Singer tap."""
    parser = argparse.ArgumentParser(prog="tap-booking-csv", description=__doc__)
    parser.add_argument("--config", required=True, help="JSON: mapping, files")
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--catalog", help="is passed over: the mapping says what is read")
    parser.add_argument("--state", help="is passed over: a file is new by being there")
    options = parser.parse_args()
    try:
        needed = ("mapping",) if options.discover else ("mapping", "files")
        config = _config(Path(options.config), *needed)
        if options.discover:
            mapping = load(Path(config["mapping"]))
            streams = [
                {**schema_of(mapping, each), "tap_stream_id": each} for each in streams_of(mapping)
            ]
            print(json.dumps({"streams": streams}))  # noqa: T201
            return
        if sys.stdout is None:
            raise OSError("standard output is closed")  # noqa: TRY301 - it is told as the others
        emit(config, sys.stdout)
    except BrokenPipeError:
        sys.exit(1)
    except (MappingError, BadFileError, OSError, ValueError) as error:
        print(f"tap-booking-csv: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
