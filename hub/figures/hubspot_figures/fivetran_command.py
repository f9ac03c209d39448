"""`hubspot-fivetran`: makes the views of docs/dbt.md, or takes them away.

Exit codes: 0 done; 1 the database refused or cannot be reached; 2 usage; 3 there is nothing to make
views of, or a tenant has to be named.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import closing

import psycopg2

from hubspot_figures.command import REFUSED, USAGE, VARIABLES
from hubspot_figures.fivetran import FivetranError, install, remove

NOTHING = 3
LOGGER = logging.getLogger("hubspot-fivetran")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="hubspot-fivetran", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    found.add_argument("action", choices=("install", "remove"))
    found.add_argument(
        "--schema", default="hubspot", help="where the tables are (default: %(default)s)"
    )
    found.add_argument(
        "--into", default="hubspot_fivetran", help="where the views go (default: %(default)s)"
    )
    found.add_argument("--tenant", help="whose records; not needed where there is one alone")
    found.add_argument(
        "--cascade", action="store_true", help="drop what others built on older views, too"
    )
    # Not an option: a list of processes would show its password.
    found.epilog = f"The database is named by one of {', '.join(VARIABLES)}."
    return found


def main() -> None:
    """The command line; `install` writes the variables for dbt_project.yml."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    options = parser().parse_args()
    url = next((found for name in VARIABLES if (found := os.environ.get(name))), None)
    if url is None:
        LOGGER.error("Set DATABASE_URL to the database where the tables are.")
        sys.exit(USAGE)
    try:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cur:
            if options.action == "remove":
                remove(cur, options.into, cascade=options.cascade)
                LOGGER.info("The views in %s are gone.", options.into)
                return
            switches = install(
                cur,
                options.schema,
                options.into,
                tenant=options.tenant,
                cascade=options.cascade,
            )
    except FivetranError as error:
        LOGGER.error("%s", error)  # noqa: TRY400
        sys.exit(NOTHING)
    except psycopg2.Error as error:
        LOGGER.error("The database says: %s", str(error).strip().splitlines()[0])  # noqa: TRY400
        sys.exit(REFUSED)
    told = {"hubspot_schema": options.into}
    told |= {name: str(value).lower() for name, value in switches.items()}
    sys.stdout.write("vars:\n" + "".join(f"  {name}: {value}\n" for name, value in told.items()))


if __name__ == "__main__":
    main()
