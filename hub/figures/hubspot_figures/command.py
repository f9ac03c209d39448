"""`hubspot-figures`: makes the functions of docs/figures.md, or takes them away.

Exit codes: 0 done; 1 the database refused or cannot be reached; 2 usage; 3 the tables are not
there.
"""

from __future__ import annotations

import argparse
import logging
import os

from hubspot_figures.connecting import database, say_where
from hubspot_figures.functions import FiguresError, install, remove, statements

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
    say_where(found)
    return found


def main() -> None:
    """The command line."""
    options = parser().parse_args()
    with database(LOGGER, FiguresError) as cur:
        if options.action == "remove":
            remove(cur, options.schema)
            LOGGER.info("The figures in %s are gone.", options.schema)
            return
        without = install(cur, options.schema)
    LOGGER.info("Made in %s: %s.", options.schema, ", ".join(statements()))
    for tenant in without:
        LOGGER.warning(
            "No history of amount_in_home_currency is there of %s: amounts are empty. Name it in "
            "the tap's `history`.",
            tenant,
        )


if __name__ == "__main__":
    main()
