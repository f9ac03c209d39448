"""`hubspot-verify`: is the copy in PostgreSQL what HubSpot has? Names what differs, and mends it.

Exit codes: 0 equal, or all that differed is repaired; 1 it differs; 2 usage; 3 it could not be
verified, and the last line says why, with its code.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
from tap_hubspot_deals.ending import Terminated, ending_of

from hubspot_verify import report
from hubspot_verify.errors import RefusedError, UnreachableError, VerifyError
from hubspot_verify.findings import KINDS
from hubspot_verify.inputs import from_files, from_meltano
from hubspot_verify.verifying import Verification

if TYPE_CHECKING:
    from tap_hubspot_deals.ending import Ending

    from hubspot_verify.findings import Difference, Findings
    from hubspot_verify.inputs import Inputs

EQUAL, DIFFERENT, FAILED = 0, 1, 3
LOGGER = logging.getLogger("hubspot-verify")
PLUGINS = ("tap-hubspot-deals", "target-deals-postgres")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="hubspot-verify", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    found.add_argument(
        "--meltano",
        nargs=2,
        metavar=("TAP", "TARGET"),
        help="take settings, catalog and state from Meltano's project: the names of both plugins\n"
        f"(within `meltano invoke`, {' '.join(PLUGINS)} by default)",
    )
    found.add_argument("--state-id", help="with --meltano: the state's, where there are several")
    found.add_argument("--tap-config", metavar="FILE", help="or all of it from files: the tap's")
    found.add_argument("--target-config", metavar="FILE", help="the target's settings")
    found.add_argument("--state", metavar="FILE", help="the state that the last run left")
    found.add_argument("--catalog", metavar="FILE", help="the catalog, where there is one")
    found.add_argument(
        "--since",
        metavar="TIME",
        help="of a scan (`scan_id` of the tap's settings), in place of its state: when it began",
    )
    found.add_argument("--report", metavar="FILE", help="write what was found there, as JSON")
    found.add_argument(
        "--log-json", action="store_true", help="log lines of JSON with all fields, for programs"
    )
    found.add_argument(
        "--repair", action="store_true", help="read again what differs, and load it by the target"
    )
    return found


class _Fields(logging.Formatter):
    """Writes what Meltano's log has of a plugin: its name, the sentence, fields for programs."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _OF_ALL}
        said = {"name": LOGGER.name, "level": record.levelname.lower()}
        return json.dumps({**fields, **said, "event": record.getMessage()}, default=str)


_OF_ALL = frozenset(vars(logging.makeLogRecord({})))


def main() -> None:
    """The command line."""
    options = parser().parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Fields() if options.log_json else logging.Formatter("%(levelname)s %(message)s")
    )
    level = os.environ.get("LOGLEVEL", "INFO").upper()
    logging.basicConfig(handlers=[handler], level=level)
    files = (options.tap_config, options.target_config, options.state or options.since)
    if not any(files) and options.meltano is None and "MELTANO_PROJECT_ROOT" in os.environ:
        options.meltano = PLUGINS
    if options.meltano is None and not all(files):
        parser().error("name --meltano TAP TARGET, or --tap-config, --target-config and --state")
    sys.exit(_verified(options))


def _verified(options: argparse.Namespace) -> int:
    """Verify; gives the exit code."""
    try:
        inputs = (
            from_meltano(options.meltano[0], options.meltano[1], options.state_id, options.since)
            if options.meltano
            else from_files(
                options.tap_config,
                options.target_config,
                options.state,
                options.catalog,
                options.since,
            )
        )
        found = _found(inputs, repair=options.repair)
    except VerifyError as exc:
        return _told(options, str(exc), exc)
    except (Terminated, Exception) as exc:
        LOGGER.debug("Ended by:", exc_info=exc)
        ending = ending_of(exc)  # the tap's own words for what it knows
        if ending.code == VerifyError.code:
            sentence = f"{type(exc).__name__}: a fault of hubspot-verify; LOGLEVEL=DEBUG shows it."
            return _told(options, sentence, ending)
        status = ending.status if ending.status > 1 else FAILED
        return _told(options, ending.sentence, ending, status)
    if options.report:
        report.write(options.report, report.of_findings(found))
    for each in found:
        _show(each)
    return DIFFERENT if any(each.verdict == "different" for each in found) else EQUAL


def _found(inputs: Inputs, *, repair: bool) -> list[Findings]:
    try:
        db = psycopg2.connect(inputs.dsn())
    except psycopg2.Error as exc:
        raise UnreachableError(f"The database cannot be reached: {_first_line(exc)}") from exc
    with closing(db):
        db.autocommit = True
        try:
            with closing(Verification(inputs, db)) as verification:
                return verification.run(repair=repair)
        except psycopg2.OperationalError as exc:
            raise UnreachableError(f"The database says: {_first_line(exc)}") from exc
        except psycopg2.Error as exc:
            raise RefusedError(f"The database says: {_first_line(exc)}") from exc


def _told(
    options: argparse.Namespace, sentence: str, ending: VerifyError | Ending, status: int = FAILED
) -> int:
    if options.report:
        failure = report.of_failure(ending.code, sentence, retryable=ending.retryable)
        report.write(options.report, failure)
    LOGGER.error("%s (%s)", sentence, ending.code, extra={"code": ending.code})
    return status


def _first_line(error: psycopg2.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _show(found: Findings) -> None:
    """Tell what was found: ids and names of properties, never a value."""
    counts = [f"{number} {kind}" for kind in KINDS if (number := found.counts[kind])]
    counts += [f"{found.repaired} repaired"] if found.repaired else []
    counts += [f"{found.behind} behind"] if found.behind else []
    requests = f", {found.requests} requests" if found.requests else ""
    print(  # noqa: T201 - the command's answer
        f"{found.name}: {found.verdict}. {found.in_hubspot} in HubSpot, {found.in_tables} in the "
        f"tables{requests}{''.join(f', {each}' for each in counts)}."
    )
    for each in found.differences:
        print(f"  {_line(each)}")  # noqa: T201 - the same


def _line(found: Difference) -> str:
    link = ""
    if found.link:
        to_type, to_id, category, type_id = found.link
        link = f" -> {to_type} {to_id} ({category} {type_id})"
    names = f": {', '.join(found.properties)}" if found.properties else ""
    return f"{found.kind} {found.id}{link}{names}"


if __name__ == "__main__":
    main()
