"""Which database the commands of this package mean, and how its refusals are told."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg2

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from psycopg2.extensions import cursor

REFUSED, USAGE, NOTHING = 1, 2, 3
_VARIABLES = ("HUBSPOT_FIGURES_DATABASE_URL", "TARGET_DEALS_POSTGRES_DATABASE_URL", "DATABASE_URL")


def say_where(parser: ArgumentParser) -> None:
    """Let a command's help say how the database is named.

    Not by an option: a list of processes would show its password.
    """
    parser.epilog = f"The database is named by one of {', '.join(_VARIABLES)}."


@contextmanager
def database(logger: logging.Logger, failure: type[Exception]) -> Iterator[cursor]:
    """A cursor in one transaction; what fails is told in a sentence and ends the process.

    Args:
        logger: Where it is told.
        failure: What the command itself raises where it finds nothing to do; exit code 3.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    url = next((found for name in _VARIABLES if (found := os.environ.get(name))), None)
    if url is None:
        logger.error("Set DATABASE_URL to the database where the tables are.")
        sys.exit(USAGE)
    try:
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cur:
            yield cur
    except failure as error:
        logger.error("%s", error)  # noqa: TRY400
        sys.exit(NOTHING)
    except psycopg2.Error as error:
        logger.error("The database says: %s", str(error).strip().splitlines()[0])  # noqa: TRY400
        sys.exit(REFUSED)
