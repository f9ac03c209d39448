"""Five9: contacts and lists, by the SOAP service of its administrators.

Facts are from Five9's guide to the Configuration Web Services and from public clients.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

import requests
from typing_extensions import override
from zeep import Client, Transport
from zeep.exceptions import Error as SoapError
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

from crm_taps import settings
from crm_taps.errors import InconsistentError, RefusedError, SettingsError, error_for
from crm_taps.pace import Limit
from crm_taps.retries import retrying
from crm_taps.streams import SourceStream
from crm_taps.tap import SourceTap
from crm_taps.values import BOOLEAN, DATE, INTEGER, NUMBER, TEXT, TIME, Column, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crm_taps.streams import Row

TYPES = {
    "NUMBER": NUMBER,
    "CURRENCY": NUMBER,
    "PERCENT": NUMBER,
    "BOOLEAN": BOOLEAN,
    "DATE": DATE,
    "DATE_TIME": TIME,
}
FAULT = 500


class OneHost(Transport):
    """Loads descriptions from one host only: the session would send the password to any.

    Args:
        address: An address of that host.
        options: As the library's.
    """

    def __init__(self, address: str, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._host = urlsplit(address)[:2]

    @override
    def load(self, url: str) -> Any:
        """A description's bytes.

        Raises:
            RefusedError: It is somewhere else.
        """
        if urlsplit(url)[:2] != self._host:
            raise RefusedError("Five9's description leads to another host than `base_url`.")
        return super().load(url)  # type: ignore[no-untyped-call]


class Service:
    """The SOAP service, with errors as sentences.

    Args:
        tap: The tap, for its settings, pace and logger.
    """

    def __init__(self, tap: TapFive9) -> None:
        config = tap.config
        self._tap = tap
        self._url = str(config["base_url"])
        session = requests.Session()
        session.auth = (config["username"], config["password"])
        session.hooks["response"].append(self._check)
        self._transport = OneHost(
            self._url,
            session=session,
            timeout=config["timeout_seconds"],
            operation_timeout=config["timeout_seconds"],
        )

    @cached_property
    def _service(self) -> Any:
        """Its operations; called at `base_url`, whatever address its description names."""
        description = f"{self._url}?wsdl&user={quote(self._tap.config['username'])}"
        client = self._tried(lambda: Client(description, transport=self._transport))
        (binding,) = client.wsdl.bindings
        return client.create_service(binding, self._url)

    def call(self, operation: str, **arguments: Any) -> Any:
        """What an operation returns, as dictionaries and lists.

        Raises:
            SourceError: The service refuses, fails or cannot be reached.
        """
        function = getattr(self._service, operation)
        return serialize_object(self._tried(lambda: function(**arguments)), dict)

    def _tried(self, func: Any) -> Any:
        tap = self._tap
        try:
            return retrying(func, pace=tap.pace, config=tap.config, logger=tap.logger)()
        except Fault as exc:
            raise RefusedError(f"Five9 refused the request: {exc.message}.") from exc
        except SoapError as exc:
            raise InconsistentError(f"Five9's answer is not what it describes: {exc}.") from exc

    def _check(self, response: requests.Response, **_: Any) -> None:
        soap = b"Envelope" in response.content[:500]
        if response.status_code == FAULT and soap:
            return  # a fault in words, which the library reads
        error = error_for(response, source="Five9", what="its service")
        if error is not None:
            raise error


class Contacts(SourceStream):
    """The contacts, with the columns that the account defines. All of them come in one answer."""

    name = "contacts"
    source_tap: TapFive9

    def __init__(self, tap: TapFive9) -> None:
        names: dict[str, str] = {}
        self._columns: dict[str, Column] = {}
        for field in tap.service.call("getContactFields", namePattern=".*") or []:
            column = snake_case(field["name"])
            column = field["name"] if not column or column in names else column
            names[column] = field["name"]
            self._columns[column] = TYPES.get(field["type"], TEXT)
        self._names = names
        wanted = tap.config["contact_key"]
        self.keys = tuple(column for column in names if names[column] in wanted)  # type: ignore[misc]
        if len(self.keys) != len(wanted):
            raise SettingsError(
                "The setting `contact_key` names a field that the account does not define; it has "
                f"{', '.join(sorted(names.values()))}."
            )
        super().__init__(tap)

    @property
    @override
    def all_columns(self) -> Mapping[str, Column]:
        """As the account defines them."""
        return self._columns

    @override
    def field_of(self, name: str) -> str:  # type: ignore[override]
        """The account's name of a field."""
        return self._names[name]

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterator[Row]:
        """The contacts; values stand in the order of the fields' names."""
        criteria = {"criteria": self.config["contact_criteria"]}
        answer = self.source_tap.service.call("getContactRecords", lookupCriteria=criteria) or {}
        fields = answer.get("fields") or []
        for record in answer.get("records") or []:
            values = (record.get("values") or {}).get("data") or []
            if len(values) != len(fields):
                raise InconsistentError(
                    f"Five9 sent a contact of {len(values)} values for {len(fields)} fields."
                )
            yield dict(zip(fields, values, strict=True))


class Lists(SourceStream):
    """The lists of contacts, with their sizes."""

    name = "lists"
    keys = ("name",)
    source_tap: TapFive9
    columns: ClassVar = {"name": TEXT, "size": INTEGER}

    @override
    def read(self, context: Mapping[str, Any] | None) -> Iterator[Row]:
        """All lists."""
        yield from self.source_tap.service.call("getListsInfo", listNamePattern=".*") or []


class TapFive9(SourceTap):
    """Singer tap for Five9."""

    name = "tap-five9"
    source = "Five9"
    limits = (Limit(30, 60),)
    stream_types = (Contacts, Lists)
    config_jsonschema: ClassVar[dict[str, Any]] = settings.schema(
        base_url="https://api.five9.com/wsadmin/v13/AdminWebService",
        required=("username", "password"),
        own={
            "username": {
                "type": "string",
                "minLength": 1,
                "description": "An administrator who may use the web services.",
            },
            "password": settings.secret("The administrator's password."),
            "contact_key": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string"},
                "default": ["contactID"],
                "description": "The fields that name a contact, such as `number1`; every contact "
                "must have them.",
            },
            "contact_criteria": {
                "type": "array",
                "default": [],
                "items": {
                    "type": "object",
                    "required": ["field", "value"],
                    "additionalProperties": False,
                    "properties": {"field": {"type": "string"}, "value": {"type": "string"}},
                },
                "description": "Only contacts whose fields have these values: objects with "
                "`field` and `value`.",
            },
        },
    )

    @cached_property
    def service(self) -> Service:
        """The service that both streams ask."""
        return Service(self)
