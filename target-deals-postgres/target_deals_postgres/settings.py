"""The settings: what may be set, what is meant when it is not, and what each one does."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

URL = "database_url"
PARTS = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert")
"""Of the connection, by libpq's names."""

SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "database_url",
        th.StringType(),
        secret=True,
        title="Database URL",
        description="Where to load: postgresql://user:password@host:5432/database, with any "
        "libpq parameters (sslmode, application_name, options=-c%20statement_timeout%3D60s). "
        "Unset: an embedded PostgreSQL in .data/postgres of the project.",
    ),
    th.Property(
        "host",
        th.StringType(),
        title="Host",
        description="Instead of database_url, with dbname: the server, or its socket's directory.",
    ),
    th.Property(
        "port",
        th.IntegerType(minimum=1, maximum=65535),
        title="Port",
        description="With host; 5432 unless set.",
    ),
    th.Property(
        "user",
        th.StringType(),
        title="User",
        description="With host.",
    ),
    th.Property(
        "password",
        th.StringType(),
        secret=True,
        title="Password",
        description="With host; taken as it is, nothing is percent-encoded.",
    ),
    th.Property(
        "dbname",
        th.StringType(),
        title="Database",
        description="With host: the database's name.",
    ),
    th.Property(
        "sslmode",
        th.StringType(
            allowed_values=["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
        ),
        title="TLS",
        description="With host: what libpq's sslmode means; prefer unless set.",
    ),
    th.Property(
        "sslrootcert",
        th.StringType(),
        title="Root certificate",
        description="With host: the file that verify-ca and verify-full judge the server by.",
    ),
    th.Property(
        "default_target_schema",
        th.StringType(nullable=False, min_length=1, max_length=63),
        default="hubspot",
        title="Schema",
        description="The database schema of all tables; created when missing and allowed.",
    ),
    th.Property(
        "schema_from_stream_name",
        th.BooleanType(nullable=False),
        default=False,
        title="Schema from the stream's name",
        description="What stands before the first dash of a stream's name is its schema: "
        "public-users goes to public.users. Streams without a dash go to default_target_schema.",
    ),
    th.Property(
        "load_method",
        th.StringType(nullable=False, allowed_values=["upsert", "append-only", "overwrite"]),
        default="upsert",
        title="Load method",
        description="upsert: one row per key, the newest record wins. append-only: every record "
        "becomes a row. overwrite: upsert, with overwrite true.",
    ),
    th.Property(
        "overwrite",
        # In words that the SDK does not take for a boolean, which it would read no list for.
        th.CustomType(
            {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"enum": [True, False]}]}
        ),
        default=[],
        title="Overwrite",
        description="Streams, by names or patterns such as users_*, or true for all: at the end of "
        "a run that went well a table holds, of each tenant that the run brought, exactly what it "
        "brought. For taps without ACTIVATE_VERSION.",
    ),
    th.Property(
        "hard_delete",
        th.BooleanType(nullable=False),
        default=False,
        title="Hard delete",
        description="Remove rows that the source deleted, instead of setting _sdc_deleted_at.",
    ),
    th.Property(
        "process_activate_version_messages",
        th.BooleanType(nullable=False),
        default=True,
        title="Process ACTIVATE_VERSION",
        description="Delete what a full read did not bring again, of the tenants it wrote.",
    ),
    th.Property(
        "add_record_metadata",
        th.BooleanType(nullable=False),
        default=False,
        title="Add record metadata",
        description="Add the _sdc_ columns; they say when a row last changed.",
    ),
    th.Property(
        "row_level_security",
        th.BooleanType(nullable=False),
        default=False,
        title="Row-level security",
        description="Tables with _tenant_id show a session only the rows of its app.tenant_id.",
    ),
    th.Property(
        "current_associations",
        th.BooleanType(nullable=False),
        default=True,
        title="Current associations",
        description="Where tables of tap-hubspot-deals are found, keep the view "
        "current_associations and the index of links from their other end.",
    ),
    th.Property(
        "readers",
        th.ArrayType(th.StringType(nullable=False, min_length=1)),
        default=[],
        title="Readers",
        description="Roles that may read each table and view that the target makes from now on, "
        "its lists of loads and rejected records too.",
    ),
    th.Property(
        "validate_records",
        th.BooleanType(nullable=False),
        default=False,
        title="Validate records",
        description="Judge records by their whole JSON schema (enum, pattern, required, nested), "
        "which is slow. Types, keys and formats of the columns are judged always.",
    ),
    th.Property(
        "lenient_values",
        th.BooleanType(nullable=False),
        default=False,
        title="Lenient values",
        description="A value that does not fit its column becomes null and the rest of its record "
        "is stored; _rejected_records has the record and the reason. Never for keys, _tenant_id, "
        "_scan_id and _sdc_deleted_at. Else such a record is rejected as a whole.",
    ),
    th.Property(
        "max_rejected_records",
        th.IntegerType(nullable=False, minimum=-1),
        default=0,
        title="Most rejected records",
        description="More rejected records than this fail the run at its end, after all others are "
        "committed; -1: never. They are listed in _rejected_records.",
    ),
    th.Property(
        "loads",
        th.BooleanType(nullable=False),
        default=True,
        title="Account for loads",
        description="Keep a row per run and stream in _loads: what came, what became of it, and "
        "how the run ended; _latest_loads shows the last ones.",
    ),
    th.Property(
        "rejected_records_days",
        th.IntegerType(nullable=True, minimum=0),
        title="Days of rejected records",
        description="Rejected records older than this are taken off their list when a run starts. "
        "Unset: they stay.",
    ),
    th.Property(
        "replay_rejected_records",
        th.BooleanType(nullable=False),
        default=False,
        title="Replay rejected records",
        description="Try the rejected records of a stream again before its new ones, where no "
        "later record of their key was stored. Not together with stream maps or flattening.",
    ),
    th.Property(
        "dry_run",
        th.BooleanType(nullable=False),
        default=False,
        title="Dry run",
        description="Read and count, and write nothing: all work is done in one transaction that "
        "is rolled back at the end, and no STATE is emitted.",
    ),
    th.Property(
        "lock_timeout_seconds",
        th.NumberType(nullable=False, exclusive_minimum=0),
        default=30,
        title="Lock timeout in seconds",
        description="How long a statement waits for a lock that somebody else holds. Then its "
        "transaction is rolled back and tried again, seven times; the log says who holds it.",
    ),
    th.Property(
        "batch_size_rows",
        th.IntegerType(nullable=False, minimum=1),
        default=20_000,
        title="Batch size in rows",
        description="Rows of all streams after which they are committed.",
    ),
    th.Property(
        "batch_size_mb",
        th.IntegerType(nullable=False, minimum=1, maximum=1024),
        default=16,
        title="Batch size in megabytes",
        description="Memory of waiting rows after which they are committed.",
    ),
    th.Property(
        "batch_seconds",
        th.NumberType(nullable=False, exclusive_minimum=0),
        default=5,
        title="Batch age in seconds",
        description="Age of the oldest waiting row or state after which all are committed.",
    ),
).to_dict()


# The SDK adds the word null, which is no schema.
SCHEMA["properties"]["overwrite"]["anyOf"][-1] = {"type": "null"}
