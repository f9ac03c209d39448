"""`hubspot-figures`: makes the functions of docs/figures.md, or takes them away.

Exit codes: 0 done; 1 the database refused or cannot be reached; 2 usage; 3 the tables are not
there.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import closing

import psycopg2

from hubspot_figures.functions import FiguresError, install, remove, statements

REFUSED, USAGE, NO_TABLES = 1, 2, 3
VARIABLES = ("HUBSPOT_FIGURES_DATABASE_URL", "TARGET_DEALS_POSTGRES_DATABASE_URL", "DATABASE_URL")
LOGGER = logging.getLogger("hubspot-figures")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="hubspot-figures", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    found.add_argument("action", choices=("install", "remove"))
    found.add_argument(
        "--schema",
        default=os.environ.get("HUBSPOT_FIGURES_SCHEMA") or "hubspot",
        help="where the tables are, and the functions go (HUBSPOT_FIGURES_SCHEMA; %(default)s)",
    )
    # Not an option: a list of processes would show its password.
    found.epilog = f"The database is named by one of {', '.join(VARIABLES)}."
    return found


def main() -> None:
    """The command line."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    options = parser().parse_args()
    url = next((found for name in VARIABLES if (found := os.environ.get(name))), None)
    if url is None:
        LOGGER.error("Set DATABASE_URL to the database where the tables are.")
        sys.exit(USAGE)
    try:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cur:
            if options.action == "remove":
                remove(cur, options.schema)
                LOGGER.info("The figures in %s are gone.", options.schema)
                return
            without = install(cur, options.schema)
    except FiguresError as error:
        LOGGER.error("%s", error)  # noqa: TRY400
        sys.exit(NO_TABLES)
    except psycopg2.Error as error:
        LOGGER.error("The database says: %s", str(error).strip().splitlines()[0])  # noqa: TRY400
        sys.exit(REFUSED)
    LOGGER.info("Made in %s: %s.", options.schema, ", ".join(statements()))
    for tenant in without:
        LOGGER.warning(
            "No history of amount_in_home_currency is there of %s: amounts are empty. Name it in "
            "the tap's `history`.",
            tenant,
        )


if __name__ == "__main__":
    main()
