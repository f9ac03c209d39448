"""`hubspot-fivetran`: makes the views of docs/dbt.md, or takes them away.

Exit codes: 0 done; 1 the database refused or cannot be reached; 2 usage; 3 there is nothing to make
views of, or a tenant has to be named.
"""

from __future__ import annotations

import argparse
import logging
import sys

from hubspot_figures.connecting import database, say_where
from hubspot_figures.fivetran import FivetranError, install, remove

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
    say_where(found)
    return found


def main() -> None:
    """The command line; `install` writes the variables for dbt_project.yml."""
    options = parser().parse_args()
    with database(LOGGER, FivetranError) as cur:
        if options.action == "remove":
            remove(cur, options.into, cascade=options.cascade)
            LOGGER.info("The views in %s are gone.", options.into)
            return
        switches = install(
            cur, options.schema, options.into, tenant=options.tenant, cascade=options.cascade
        )
    told = {"hubspot_schema": options.into}
    told |= {name: str(value).lower() for name, value in switches.items()}
    sys.stdout.write("vars:\n" + "".join(f"  {name}: {value}\n" for name, value in told.items()))


if __name__ == "__main__":
    main()
