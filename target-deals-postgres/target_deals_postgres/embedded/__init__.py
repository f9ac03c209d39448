"""The PostgreSQL that lives inside a project, for runs without a `database_url`."""

from target_deals_postgres.embedded.project import project_server
from target_deals_postgres.embedded.server import Server, ServerError
from target_deals_postgres.embedded.system import server_user

__all__ = ["Server", "ServerError", "project_server", "server_user"]
