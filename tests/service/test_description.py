"""openapi.yaml and the code say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
from pydantic import ValidationError
from scan_service.door.accounts import CALLBACK
from scan_service.door.app import OPERATIONS
from scan_service.door.models import (
    AuditQuery,
    ChangeSchedule,
    CreateConnection,
    CreateSchedule,
    CreateWebhook,
    DownloadQuery,
    HistoryQuery,
    ListQuery,
    ObjectsQuery,
    PipelineQuery,
    RecordQuery,
    RemoveQuery,
    ResultQuery,
    StartScan,
    StatusQuery,
)
from scan_service.errors import ServiceError
from scan_service.ledger.extraction import ASSOCIATIONS
from scan_service.ledger.words import Model
from service.kit import api

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.testclient import TestClient


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in api()["paths"].items()
        for method, operation in item.items()
    }


def test_every_route_is_described_and_every_description_has_its_route() -> None:
    described = {key: each.get("x-permission") for key, each in operations().items()}

    routed = {(each.method, each.path): each.permission for each in OPERATIONS}

    assert described == {
        **routed,
        ("GET", CALLBACK): None,
        ("GET", "/health"): None,
        ("GET", "/health/live"): None,
    }


def test_the_description_is_valid_openapi(http: TestClient) -> None:
    assert api()["openapi"].startswith("3.1")
    for schema in api()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert http.get("/openapi.json").json() == api()
    assert http.get("/openapi.yaml").text.startswith("openapi: 3.1")


def resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            return resolved(choice, definitions)
    return schema


def fields(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> dict[str, bool]:
    """Every field of a body by its path, and whether it is required."""
    schema = resolved(schema, definitions)
    found: dict[str, bool] = {}
    for name, inner in schema.get("properties", {}).items():
        found[f"{path}{name}"] = name in schema.get("required", ())
        found |= fields(inner, definitions, f"{path}{name}.")
        for item in alternatives(resolved(inner, definitions).get("items", {})):
            found |= fields(item, definitions, f"{path}{name}.0.")
    return found


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    choices: list[dict[str, Any]] = schema.get("oneOf") or schema.get("anyOf") or [schema]
    return choices


def test_the_bodies_described_are_the_bodies_read() -> None:
    for model in (StartScan, CreateSchedule, ChangeSchedule, CreateConnection, CreateWebhook):
        name = model.__name__
        read = model.model_json_schema(by_alias=True)
        described = api()["components"]["schemas"]

        assert fields(described[name], described) == fields(read, read["$defs"])


def optional(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a body that need not be said, by their names."""
    schema = resolved(schema, definitions)
    found: dict[str, dict[str, Any]] = {}
    for name, inner in schema.get("properties", {}).items():
        found |= {} if name in schema.get("required", ()) else {name: inner}
        found |= optional(inner, definitions)
        for item in alternatives(resolved(inner, definitions).get("items", {})):
            found |= optional(item, definitions)
    return found


def test_null_is_taken_for_what_is_not_said_wherever_that_may_be() -> None:
    described = api()["components"]["schemas"]
    for body in (StartScan, CreateSchedule, ChangeSchedule, CreateConnection, CreateWebhook):
        for name, schema in optional(described[body.__name__], described).items():
            whole = {**schema, "components": api()["components"]}
            assert jsonschema.Draft202012Validator(whole).is_valid(None), name
    for model in subclasses(Model):
        unsaid = {
            field.alias or name: None
            for name, field in model.model_fields.items()
            if not field.is_required()
        }
        try:
            model.model_validate(unsaid)
        except ValidationError as error:
            assert {each["type"] for each in error.errors()} == {"missing"}, model  # noqa: PT017


def subclasses(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [each for one in model.__subclasses__() for each in (one, *subclasses(one))]


def test_the_queries_described_are_the_queries_read() -> None:
    read: dict[str, type[BaseModel]] = {
        "listScans": ListQuery,
        "listAudit": AuditQuery,
        "scanResult": ResultQuery,
        "scanRecord": RecordQuery,
        "scanRecordHistory": HistoryQuery,
        "scanStatus": StatusQuery,
        "scanPipeline": PipelineQuery,
        "describeAccount": ObjectsQuery,
        "download": DownloadQuery,
        "removeScan": RemoveQuery,
    }
    shared = api()["components"]["parameters"]
    for operation in operations().values():
        if operation["operationId"] not in read:
            continue
        described = {}
        for parameter in (resolved(each, shared) for each in operation["parameters"]):
            if parameter["in"] == "query":
                described[parameter["name"]] = parameter["schema"].get("default")
        model = read[operation["operationId"]]
        expected = {
            name: None if field.is_required() else field.default
            for name, field in model.model_fields.items()
        }
        assert described == expected, operation["operationId"]


def test_codes_and_object_types_are_listed_completely() -> None:
    schemas = api()["components"]["schemas"]
    codes = schemas["Error"]["properties"]["error"]["properties"]["code"]["enum"]

    def below(cls: type[ServiceError]) -> set[str]:
        return {cls.code}.union(*(below(each) for each in cls.__subclasses__()))

    assert below(ServiceError) | {"HUBSPOT_AUTH_ERROR", "HUBSPOT_RATE_LIMIT"} == set(codes)
    listed = schemas["Extraction"]["properties"]["associations"]["items"]["anyOf"][0]["enum"]
    assert tuple(listed) == ASSOCIATIONS


def test_the_pages_need_no_other_host(http: TestClient) -> None:
    for path, element in (("/docs", "swagger-ui"), ("/redoc", "redoc")):
        page = http.get(path)

        assert page.status_code == 200
        assert element in page.text
        assert "/openapi.json" in page.text
        assert "<script src=" not in page.text
        assert '<link rel="stylesheet"' not in page.text
    assert "supportedSubmitMethods: []" in http.get("/docs").text
