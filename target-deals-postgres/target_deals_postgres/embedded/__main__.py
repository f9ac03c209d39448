"""`python -m target_deals_postgres.embedded start|url|stop|remove|dump|restore` for Makefiles."""

from __future__ import annotations

import argparse
import shutil
import sys

from target_deals_postgres.embedded.project import project_server
from target_deals_postgres.embedded.server import ServerError
from target_deals_postgres.embedded.upgrade import dump, restore

ACTIONS = ["start", "url", "stop", "remove", "dump", "restore"]


def main() -> None:
    """Carry out one action on the project's server."""
    parser = argparse.ArgumentParser(
        prog="python -m target_deals_postgres.embedded", description=__doc__
    )
    parser.add_argument("action", choices=ACTIONS)
    try:
        print(_act(parser.parse_args().action), end="")  # noqa: T201 - the command's answer
    except (ServerError, OSError) as error:
        sys.exit(str(error))


def _act(action: str) -> str:
    server = project_server()
    file = server.data.with_name(server.data.name + ".sql")
    match action:
        case "start":
            return server.start() + "\n"
        case "url":
            return (server.url() or sys.exit("the embedded PostgreSQL does not run")) + "\n"
        case "dump":
            dump(server, file)
            return f"Dumped into {file}\n"
        case "restore":
            return f"Restored from {file}; the old data are in {restore(server, file)}\n"
        case "remove":
            server.stop()
            shutil.rmtree(server.data, ignore_errors=True)
        case _:
            server.stop()
            return f"The embedded PostgreSQL is stopped; what it holds stays in {server.data}\n"
    return ""


if __name__ == "__main__":
    main()
