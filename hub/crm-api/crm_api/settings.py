"""Knows every setting of the API, and where each comes from: the environment, nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from hubspot_client.access import API_VERSION, BASE_URL, Access
from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from service_base.database import readable

from crm_api.guard.limits import Limit
from crm_api.guard.passwords import Passwords

PREFIX = "CRM_API_"
IGNORED = ("SECRET_KEY", "FLASK_ENV", "SQLALCHEMY_TRACK_MODIFICATIONS")
"""Names that the first version of the API had, and that mean nothing here."""


def _named(name: str, *others: str) -> Any:
    return AliasChoices(PREFIX + name.upper(), *others, name)


class Settings(BaseSettings):
    """Settings of one process; each is an environment variable `CRM_API_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr = Field(
        validation_alias=_named("database_url", "DATABASE_URL"),
        description="PostgreSQL of the accounts; `DATABASE_URL` works too.",
    )
    secret_keys: SecretStr = Field(
        validation_alias=_named("secret_keys", "JWT_SECRET_KEY"),
        description="Keys of the access tokens, comma separated, 32 bytes or more each: the first "
        "signs, all verify (rotation); `JWT_SECRET_KEY` works too.",
    )
    host: str = Field(default="127.0.0.1", description="Address that `serve` listens on.")
    port: int = Field(
        default=4012, ge=0, le=65535, validation_alias=_named("port", "PORT"),
        description="Port that `serve` listens on; `PORT` works too.",
    )  # fmt: skip
    log_format: Literal["json", "console"] = Field(default="json", description="Form of the log.")
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Bearer token of /metrics; without one only the machine itself may read it.",
    )

    hubspot_access_token: SecretStr | None = Field(
        default=None, description="Token of a private app; or the three OAuth values instead."
    )
    hubspot_client_id: str | None = Field(
        default=None, validation_alias=_named("hubspot_client_id", "HUBSPOT_CLIENT_ID"),
        description="Of the OAuth app; `HUBSPOT_CLIENT_ID` works too.",
    )  # fmt: skip
    hubspot_client_secret: SecretStr | None = Field(
        default=None, validation_alias=_named("hubspot_client_secret", "HUBSPOT_CLIENT_SECRET"),
        description="Of the OAuth app; `HUBSPOT_CLIENT_SECRET` works too.",
    )  # fmt: skip
    hubspot_refresh_token: SecretStr | None = Field(
        default=None, validation_alias=_named("hubspot_refresh_token", "HUBSPOT_REFRESH_TOKEN"),
        description="Of the OAuth app; `HUBSPOT_REFRESH_TOKEN` works too.",
    )  # fmt: skip
    hubspot_base_url: str = Field(
        default=BASE_URL, pattern=r"^https?://", description="Where HubSpot answers."
    )
    hubspot_api_version: str = Field(
        default=API_VERSION, pattern=r"^(\d{4}-\d{2}|v3)$", description="HubSpot API version."
    )
    requests_per_10_seconds: int | None = Field(
        default=None, ge=1, description="HubSpot request budget; default: learned from answers."
    )
    hubspot_threads: int = Field(
        default=16, ge=2, le=32, description="Requests to HubSpot at the same time."
    )
    hubspot_read_seconds: float = Field(
        default=10.0, gt=0, description="How long one request waits for HubSpot."
    )
    hubspot_seconds: float = Field(
        default=15.0, gt=0, description="How long all of one client's request waits for HubSpot."
    )

    reads: Literal["hubspot", "warehouse"] = Field(
        default="hubspot", description="Where lists come from: HubSpot, or the tables of a run."
    )
    warehouse_schema: str = Field(
        default="hubspot", description="Schema of the tables that `meltano run` filled."
    )
    tenant_id: str | None = Field(
        default=None, description="Whose rows of the tables are listed; needed with `warehouse`."
    )

    registration: Literal["open", "closed"] = Field(
        default="open", description="Whether anybody may register."
    )
    contacts: Literal["all", "own"] = Field(
        default="all", description="Whose contacts a user sees."
    )
    allow_open_directory: bool = Field(
        default=False,
        description="Start although anybody may register and then read all contacts.",
    )
    existing_contacts: Literal["update", "fill", "refuse"] = Field(
        default="update",
        description="What registration does to a contact that HubSpot has already: change it, fill "
        "what is empty, or refuse the registration.",
    )
    ticket_categories: dict[str, str] = Field(
        default={
            "general_inquiry": "GENERAL_INQUIRY",
            "technical_issue": "PRODUCT_ISSUE",
            "billing": "BILLING_ISSUE",
            "service_request": "FEATURE_REQUEST",
            "meeting": "GENERAL_INQUIRY",
        },
        description="HubSpot's option of `hs_ticket_category` for each category, as JSON.",
    )

    token_hours: float = Field(default=24.0, gt=0, description="Life of an access token.")
    rate_limit: Annotated[Limit, NoDecode] = Field(
        default=Limit.read("60 per 1 minute"),
        description="Requests of a user to each operation.",
    )
    login_rate_limit: Annotated[Limit, NoDecode] = Field(
        default=Limit.read("5 per 1 minute"),
        description="Log-ins and registrations: of an address, and of an e-mail address.",
    )
    password_memory_kib: int = Field(default=65536, ge=64, description="Memory of one hash.")
    password_passes: int = Field(default=3, ge=1, description="Passes of one hash.")
    password_lanes: int = Field(default=4, ge=1, description="Threads of one hash.")
    pending_seconds: int = Field(
        default=60, ge=1, description="Age at which a registration that never ended is forgotten."
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
    connections: int = Field(default=10, ge=2, description="Database connections of a process.")

    _readable = field_validator("database_url")(readable)

    @field_validator("rate_limit", "login_rate_limit", mode="before")
    @classmethod
    def _limit(cls, value: object) -> object:
        return Limit.read(value) if isinstance(value, str) else value

    @field_validator("hubspot_base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_credentials(self) -> Settings:
        oauth = (self.hubspot_client_id, self.hubspot_client_secret, self.hubspot_refresh_token)
        if self.hubspot_access_token is None and not all(oauth):
            raise ValueError(
                "HubSpot needs CRM_API_HUBSPOT_ACCESS_TOKEN, or HUBSPOT_CLIENT_ID, "
                "HUBSPOT_CLIENT_SECRET and HUBSPOT_REFRESH_TOKEN together"
            )
        if self.reads == "warehouse" and not self.tenant_id:
            raise ValueError("CRM_API_READS=warehouse needs CRM_API_TENANT_ID: whose rows to list")
        return self

    @property
    def proxy_addresses(self) -> frozenset[str]:
        """The addresses of proxies, one by one."""
        return frozenset(filter(None, (each.strip() for each in self.proxies.split(","))))

    def passwords(self) -> Passwords:
        """Make what hashes and verifies passwords."""
        return Passwords(
            memory_kib=self.password_memory_kib,
            passes=self.password_passes,
            lanes=self.password_lanes,
        )

    def access(self) -> Access:
        """HubSpot's account, as a client of it needs it."""

        def clear(secret: SecretStr | None) -> str | None:
            return None if secret is None else secret.get_secret_value()

        return Access(
            access_token=clear(self.hubspot_access_token),
            client_id=self.hubspot_client_id,
            client_secret=clear(self.hubspot_client_secret),
            refresh_token=clear(self.hubspot_refresh_token),
            base_url=self.hubspot_base_url,
            api_version=self.hubspot_api_version,
            requests_per_10_seconds=self.requests_per_10_seconds,
            request_delay=timedelta(0),
            user_agent="crm-api",
        )

    @classmethod
    def load(cls, **known: Any) -> Settings:
        """Read the environment; what is known already wins."""
        return cls(**known)
