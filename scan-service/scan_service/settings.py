"""Knows every setting of the service, and where each comes from: the environment, nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from hubspot_client.consent import AUTHORIZE_URL
from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from service_base.database import readable


class Settings(BaseSettings):
    """Settings of one process; each is an environment variable `SCAN_SERVICE_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="SCAN_SERVICE_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("SCAN_SERVICE_DATABASE_URL", "DATABASE_URL", "database_url"),
        description="PostgreSQL of the ledger and of the results; `DATABASE_URL` works too.",
    )
    loader_database_url: SecretStr | None = Field(
        default=None,
        description="The login of loaders, a member of scan_service_loader; default: the service's"
        " own, acting as that role.",
    )
    warehouse_url: SecretStr | None = Field(
        default=None,
        description="The database that the CRM hub loads into, by a login that may read its"
        " `_loads`: what the page of loads shows.",
    )
    secret_keys: SecretStr = Field(
        description="Fernet keys, comma separated; the first encrypts, all decrypt (rotation).",
    )
    host: str = Field(default="127.0.0.1", description="Address of both ports.")
    port: int = Field(default=5200, ge=0, le=65535, description="Port that `serve` listens on.")
    worker_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of a worker's /metrics; default: none."
    )
    log_format: Literal["json", "console"] = Field(default="json", description="Form of the log.")
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Bearer token of /metrics; without one only the machine itself may read it.",
    )

    hubspot_base_url: str = Field(
        default="https://api.hubapi.com", description="Where HubSpot answers."
    )
    hubspot_api_version: str = Field(
        default="2026-09", pattern=r"^(\d{4}-\d{2}|v3)$", description="HubSpot API version."
    )
    hubspot_client_id: str | None = Field(
        default=None, description="The service's own OAuth app at HubSpot: its id."
    )
    hubspot_client_secret: SecretStr | None = Field(default=None, description="Its secret.")
    hubspot_authorize_url: str = Field(
        default=AUTHORIZE_URL, description="Where users let the app in."
    )
    public_url: str | None = Field(
        default=None, description="How users reach this service: HubSpot sends them back there."
    )
    hubspot_probe_seconds: float = Field(
        default=5.0, gt=0, description="How long the start of a scan waits for HubSpot at most."
    )
    requests_per_10_seconds: int | None = Field(
        default=None, ge=1, description="HubSpot request budget of a run; default: the tap learns."
    )

    requests_per_minute: int = Field(default=100, ge=1, description="Requests of a tenant.")
    burst: int = Field(default=150, ge=1, description="Requests of a tenant at once.")
    max_pending: int = Field(default=100, ge=1, description="Waiting scans of a tenant.")
    max_rejected_records: int = Field(
        default=1000, ge=0, description="Records a run may refuse before it fails."
    )

    proxies: str = Field(
        default="127.0.0.1,::1",
        description="Addresses of proxies, comma separated: their X-Forwarded-For is believed.",
    )
    most_connections: int = Field(
        default=1000, ge=10, description="Connections that `serve` takes at once."
    )
    connections_per_address: int = Field(
        default=100, ge=1, description="Connections of one address, unless it is a proxy's."
    )
    request_seconds: float = Field(
        default=30.0, gt=0, description="Time that a request may take to arrive."
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Time that a client may read nothing of its answer."
    )
    tenant_downloads: int = Field(
        default=2, ge=1, description="Downloads of a tenant at the same time."
    )

    pages: bool = Field(default=True, description="Whether `serve` has the web pages.")
    session_hours: float = Field(
        default=12.0, gt=0, le=720, description="How long one who signed in stays so at most."
    )
    page_viewers: int = Field(
        default=100, ge=1, description="Pages of a server that are told at once what changes."
    )

    include_raw: bool = Field(
        default=True, description="Whether HubSpot's own object of each record is kept, as `raw`."
    )
    late_minutes: float = Field(
        default=60.0, gt=0, description="Time after which a scan that is not over is late."
    )
    private_webhooks: bool = Field(
        default=False,
        description="Whether webhooks may be plain HTTP and on addresses that are not public.",
    )

    connections: int = Field(default=10, ge=2, description="Database connections of a process.")
    export_connections: int = Field(default=4, ge=1, description="Downloads at the same time.")
    concurrency: int = Field(default=5, ge=1, description="Scans that a worker runs at once.")
    sweep_seconds: float = Field(default=2.0, gt=0, description="Pause between two sweeps.")
    lost_after_seconds: float = Field(
        default=15.0, gt=2, description="Silence after which a run counts as lost."
    )
    stop_seconds: float = Field(
        default=15.0, gt=0, description="Time that a stopped run has to flush what it read."
    )
    scan_hours: float = Field(default=12.0, gt=0, description="Longest run.")
    max_attempts: int = Field(default=3, ge=1, description="Runs that may be lost by one scan.")

    project_root: Path = Field(
        default_factory=lambda: find_project(Path.cwd()),
        description="Folder of meltano.yml; found upwards from here by default.",
    )
    meltano: str = Field(
        default_factory=lambda: str(Path(sys.executable).parent / "meltano"),
        description="The meltano command; default: beside this Python.",
    )
    run_directory: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / f"scan-service-runs-{os.getuid()}",
        description="Folder of the runs' private directories.",
    )

    _readable = field_validator("database_url", "loader_database_url")(readable)

    @field_validator("hubspot_base_url", "public_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @property
    def proxy_addresses(self) -> frozenset[str]:
        """The addresses of proxies, one by one."""
        return frozenset(filter(None, (each.strip() for each in self.proxies.split(","))))

    @classmethod
    def load(cls, **known: Any) -> Settings:
        """Read the environment; what is known already wins."""
        return cls(**known)

    @property
    def loads_to(self) -> SecretStr:
        """The database as loaders reach it."""
        return self.loader_database_url or self.database_url

    @property
    def lease_seconds(self) -> float:
        """A run without word from its worker ends before another worker may take its scan."""
        return self.lost_after_seconds * 2 / 3


def find_project(start: Path) -> Path:
    """Return the nearest folder upwards from `start` that holds a meltano.yml."""
    for folder in (start, *start.parents, *Path(__file__).resolve().parents):
        if (folder / "meltano.yml").is_file():
            return folder
    return start
