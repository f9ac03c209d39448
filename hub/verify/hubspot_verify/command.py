"""`hubspot-verify`: is the copy in PostgreSQL what HubSpot has? Names what differs, and mends it.

Exit codes: 0 equal, or all that differed is repaired; 1 it differs; 2 usage; 3 it could not be
verified, and the last line says why, with its code.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
from tap_hubspot_deals.ending import Terminated, ending_of

from hubspot_verify.errors import RefusedError, UnreachableError, VerifyError
from hubspot_verify.findings import KINDS
from hubspot_verify.inputs import from_files, from_meltano
from hubspot_verify.verifying import Verification

if TYPE_CHECKING:
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
        "--repair", action="store_true", help="read again what differs, and load it by the target"
    )
    return found


def main() -> None:
    """The command line."""
    level = os.environ.get("LOGLEVEL", "INFO").upper()
    logging.basicConfig(format="%(levelname)s %(message)s", level=level)
    options = parser().parse_args()
    files = (options.tap_config, options.target_config, options.state)
    if not any(files) and options.meltano is None and "MELTANO_PROJECT_ROOT" in os.environ:
        options.meltano = PLUGINS
    if options.meltano is None and not all(files):
        parser().error("name --meltano TAP TARGET, or --tap-config, --target-config and --state")
    sys.exit(_verified(options))


def _verified(options: argparse.Namespace) -> int:
    """Verify; gives the exit code."""
    try:
        inputs = (
            from_meltano(options.meltano[0], options.meltano[1], options.state_id)
            if options.meltano
            else from_files(
                options.tap_config, options.target_config, options.state, options.catalog
            )
        )
        found = _found(inputs, repair=options.repair)
    except VerifyError as exc:
        return _told(str(exc), exc.code)
    except (Terminated, Exception) as exc:
        LOGGER.debug("Ended by:", exc_info=exc)
        ending = ending_of(exc)  # the tap's own words for what it knows
        if ending.code == VerifyError.code:
            sentence = f"{type(exc).__name__}: a fault of hubspot-verify; LOGLEVEL=DEBUG shows it."
            return _told(sentence, ending.code)
        return _told(ending.sentence, ending.code, ending.status if ending.status > 1 else FAILED)
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


def _told(sentence: str, code: str, status: int = FAILED) -> int:
    LOGGER.error("%s (%s)", sentence, code, extra={"code": code})
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
