"""SalesPro: its tables, or any query, in Amazon Athena.

Facts are from Athena's API documentation; names of tables, keys and times of change are those of a
known client of SalesPro's database.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pyathena import connect
from pyathena.error import Error as AthenaError
from pyathena.util import RetryConfig
from typing_extensions import override

from crm_taps import settings
from crm_taps.errors import (
    ForbiddenError,
    RateLimitedError,
    RefusedError,
    SettingsError,
    SourceError,
    UnauthorizedError,
    UnavailableError,
)
from crm_taps.streams import SourceStream
from crm_taps.tap import SourceTap
from crm_taps.values import ARRAY, BOOLEAN, DATE, INTEGER, NUMBER, OBJECT, TEXT, TIME, Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyathena.connection import Connection
    from pyathena.cursor import Cursor

    from crm_taps.streams import Row

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
TYPES: dict[str, Column] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint"), INTEGER),
    **dict.fromkeys(("float", "real", "double", "decimal"), NUMBER),
    "boolean": BOOLEAN,
    **dict.fromkeys(("timestamp", "timestamp with time zone"), TIME),
    "date": DATE,
    "array": ARRAY,
    **dict.fromkeys(("map", "row", "struct"), OBJECT),
}
FAULTS: dict[str, type[SourceError]] = {
    "UnrecognizedClientException": UnauthorizedError,
    "InvalidSignatureException": UnauthorizedError,
    "InvalidClientTokenId": UnauthorizedError,
    "ExpiredTokenException": UnauthorizedError,
    "AccessDeniedException": ForbiddenError,
    "ThrottlingException": RateLimitedError,
    "TooManyRequestsException": RateLimitedError,
    "InternalServerException": UnavailableError,
}
STREAMS = [
    {
        "name": "credit_applications",
        "table": "credit_applications",
        "key": ["leap_credit_app_id"],
        "replication_key": "updated_at",
    },
    {
        "name": "customers",
        "table": "customer",
        "key": ["customer_id"],
        "replication_key": "updated_at",
    },
    {
        "name": "estimates",
        "table": "estimates",
        "key": ["estimate_id"],
        "replication_key": "updated_at",
    },
    {
        "name": "lead_results",
        "table": "lead_results",
        "key": ["estimate_id"],
        "replication_key": "created_at",
    },
]


class QueryStream(SourceStream):
    """The rows of a table or a query, from the bookmark on where it has a time of change.

    Args:
        tap: The tap.
        given: The stream as the settings describe it.

    Raises:
        SettingsError: The result lacks a column that the settings name.
    """

    source_tap: TapSalesPro
    is_sorted = True
    lists_all = True

    def __init__(self, tap: TapSalesPro, given: Mapping[str, Any]) -> None:
        self._from = given.get("table") or f"({given['query']})"
        # the operator's own settings: whoever writes them may ask anything anyway
        self._select = f"SELECT * FROM {self._from} AS t"  # noqa: S608
        described = self._run(tap, f"{self._select} LIMIT 0").description or []
        self._types = {name: kind for name, kind, *_ in described}
        if len(self._types) < len(described):
            raise SettingsError(
                f"The setting `streams`: the result of {given['name']} has two columns of one "
                "name; name them apart in its query."
            )
        self._columns = {name: TYPES.get(kind, TEXT) for name, kind in self._types.items()}
        changed = given.get("replication_key")
        named = [*given["key"], *([changed] if changed else [])]
        if lacking := [name for name in named if name not in self._columns]:
            raise SettingsError(
                f"The setting `streams`: the result of {given['name']} has no column "
                f"{', '.join(lacking)}."
            )
        if changed and self._types[changed] not in {"timestamp", "timestamp with time zone"}:
            raise SettingsError(
                f"The setting `streams`: {changed} of {given['name']} is no timestamp."
            )
        self.keys = tuple(given["key"])  # type: ignore[misc]
        super().__init__(tap, name=str(given["name"]))
        self.replication_key = changed

    @property
    @override
    def all_columns(self) -> Mapping[str, Column]:
        """As Athena tells them."""
        return self._columns

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterator[Row]:
        """The rows, the oldest change first."""
        sql = self._select
        if self.replication_key:
            if since := self.since(context):
                literal = self.local(since).replace("T", " ")
                sql += f" WHERE {self.replication_key} >= timestamp '{literal}'"
            sql += f" ORDER BY {self.replication_key}"
        if most := self.config.get("max_records"):
            sql += f" LIMIT {most}"
        cursor = self._run(self.source_tap, sql)
        names = [name for name, *_ in cursor.description or []]
        while rows := told(cursor.fetchmany, self.name):
            for row in rows:
                yield dict(zip(names, row, strict=True))

    def _run(self, tap: TapSalesPro, sql: str) -> Cursor:
        cursor: Cursor = tap.connection.cursor()
        told(lambda: cursor.execute(sql), self._from)
        return cursor


class TapSalesPro(SourceTap):
    """Singer tap for SalesPro, which is read through Amazon Athena."""

    name = "tap-salespro"
    source = "Athena"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url=None,
        required=("database",),
        own={
            "database": {"type": "string", "minLength": 1, "description": "Database in Athena."},
            "region_name": {
                "type": "string",
                "default": "us-east-1",
                "description": "AWS region.",
            },
            "workgroup": {"type": "string", "default": "primary", "description": "Workgroup."},
            "s3_staging_dir": {
                "type": "string",
                "pattern": "^s3://",
                "description": "Where Athena puts results, if not where the workgroup says.",
            },
            "aws_access_key_id": settings.secret(
                "Access key; without it, AWS's own ways (environment, profile, role)."
            ),
            "aws_secret_access_key": settings.secret("With `aws_access_key_id`."),
            "aws_session_token": settings.secret("With temporary keys."),
            "endpoint_url": {
                "type": "string",
                "pattern": "^https?://[^/]",
                "description": "Where Athena's API is, if not at AWS.",
            },
            "streams": {
                "type": "array",
                "minItems": 1,
                "default": STREAMS,
                "items": {
                    "type": "object",
                    "required": ["name", "key"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "table": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                        "query": {"type": "string", "minLength": 1},
                        "key": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                        "replication_key": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                    },
                },
                "description": "What to read: objects with `name`, `table` or `query`, `key` (a "
                "list of columns), and perhaps `replication_key` (a timestamp).",
            },
        },
    )
    _connection: Connection[Any] | None = None

    @property
    def connection(self) -> Connection[Any]:
        """The connection that all streams share."""
        if self._connection is None:
            # what goes wrong is told once, by the tap
            logging.getLogger("pyathena").setLevel(logging.CRITICAL)
            optional = [
                *("s3_staging_dir", "endpoint_url"),
                *("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
            ]
            self._connection = told(
                lambda: connect(
                    region_name=self.config["region_name"],
                    schema_name=self.config["database"],
                    work_group=self.config["workgroup"],
                    retry_config=RetryConfig(attempt=1),
                    config=Config(
                        retries={
                            "mode": "standard",  # throttling, 5xx and lost connections
                            "total_max_attempts": self.config["max_tries"],
                        },
                        read_timeout=self.config["timeout_seconds"],
                    ),
                    **{name: self.config.get(name) for name in optional if self.config.get(name)},
                ),
                "the connection",
            )
        return self._connection

    @override
    def discover_streams(self) -> list[Any]:
        """A stream for each table or query of the settings."""
        return [QueryStream(self, given) for given in self.config["streams"]]


def told(call: Any, what: str) -> Any:
    """What a call to Athena gives; its faults as sentences.

    Raises:
        SourceError: Athena refuses, fails or cannot be reached.
    """
    try:
        return call()
    except (AthenaError, ClientError, BotoCoreError) as exc:
        cause = exc.__cause__ if isinstance(exc.__cause__, ClientError | BotoCoreError) else exc
        if isinstance(cause, NoCredentialsError):
            raise UnauthorizedError(
                "There are no credentials for AWS: set `aws_access_key_id` and "
                "`aws_secret_access_key`, or use a profile or a role."
            ) from exc
        if isinstance(cause, ClientError):
            error = cause.response.get("Error", {})
            kind = FAULTS.get(str(error.get("Code")), RefusedError)
            raise kind(
                f"Athena refused {what} ({error.get('Code')}): {error.get('Message')}"
            ) from exc
        if isinstance(cause, BotoCoreError):
            raise UnavailableError(
                f"Athena cannot be reached, or does not answer ({type(cause).__name__})."
            ) from exc
        raise RefusedError(f"Athena could not carry out {what}: {exc}") from exc
