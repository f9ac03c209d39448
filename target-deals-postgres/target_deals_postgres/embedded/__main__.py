"""`python -m target_deals_postgres.embedded start|url|stop|remove` for people and Makefiles."""

from __future__ import annotations

import argparse
import shutil
import sys

from target_deals_postgres.embedded.server import project_server


def main() -> None:
    """Carry out one action on the project's server."""
    parser = argparse.ArgumentParser(
        prog="python -m target_deals_postgres.embedded", description=__doc__
    )
    parser.add_argument("action", choices=["start", "url", "stop", "remove"])
    action = parser.parse_args().action
    server = project_server()
    if action == "start":
        print(server.start())  # noqa: T201 - the command's answer
    elif action == "url":
        print(server.url() or sys.exit("the embedded PostgreSQL does not run"))  # noqa: T201 - the command's answer
    else:
        server.stop()
        if action == "remove":
            shutil.rmtree(server.data, ignore_errors=True)


if __name__ == "__main__":
    main()
