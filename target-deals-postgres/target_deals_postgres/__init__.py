"""Singer target for PostgreSQL: exact values, COPY and merge, state after commit."""
