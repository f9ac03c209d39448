"""The PostgreSQL that lives inside a project, for runs without a `database_url`."""

from target_deals_postgres.embedded.server import Server, ServerError, project_server, server_user

__all__ = ["Server", "ServerError", "project_server", "server_user"]
