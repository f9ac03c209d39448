"""Answers fit HubSpot's own OpenAPI files, but for what is known to differ on the wire."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hubspot_simulator import Portal, Simulator
from jsonschema import Draft4Validator

from .conftest import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = Path(__file__).parents[2].parent / "shared" / "reference" / "hubspot-openapi"
pytestmark = pytest.mark.skipif(
    not FILES.is_dir(), reason="HubSpot's OpenAPI files are not beside the checkout"
)
# Observed on the wire, against the files: unset properties and labels are null; errors of a batch
# come without `links` and `errors`, and their `subCategory` is a text.
NULLABLE = (("SimplePublicObject", "properties"), ("AssociationSpecWithLabel", "label"))
NOT_ALWAYS = {"StandardError": ("errors", "links")}


@cache
def described() -> list[tuple[re.Pattern[str], dict[str, Any], dict[str, Any]]]:
    """Give every path with its operations and its file; names before placeholders."""
    found = []
    for file in sorted(FILES.glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        _loosen(document["components"]["schemas"])
        for path, operations in document["paths"].items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
            found.append((path.count("{"), pattern, operations, document))
    return [entry[1:] for entry in sorted(found, key=lambda entry: entry[0])]


def _loosen(schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        if name == "StandardError":
            schema["properties"]["subCategory"] = {"type": "string"}
        for key in NOT_ALWAYS.get(name, ()):
            if key in schema.get("required", []):
                schema["required"].remove(key)
        for prefix, key in NULLABLE:
            if not name.startswith(prefix) or key not in schema.get("properties", {}):
                continue
            values = schema["properties"][key]
            values = values.get("additionalProperties", values)
            values["type"] = [values["type"], "null"]
        # What the files do not know, the simulator must not invent.
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False


def check(method: str, path: str, status: int, body: Any) -> None:
    for pattern, operations, document in described():
        operation = operations.get(method.lower())
        if operation and pattern.fullmatch(path):
            assert str(status) in operation["responses"], f"{status} is not described for {path}"
            content = operation["responses"][str(status)]["content"]
            schema = {
                **next(iter(content.values()))["schema"],
                "components": document["components"],
            }
            jsonschema.validate(body, schema, cls=Draft4Validator)
            return
    raise AssertionError(f"{method} {path} is in none of the files")


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Api, Portal]]:
    portal = Portal.generate(30, archived=2, custom_objects=["zipcodes"])
    portal.behaviour.numeric_to_object_id = False  # a string in the files, a number on the wire
    with Simulator([portal]) as hubspot:
        api = Api(hubspot.url)
        yield api, portal
        api.session.close()


@pytest.mark.parametrize(
    "path",
    [
        "/crm/v3/objects/deals?limit=5&associations=contacts,companies&properties=amount",
        "/crm/objects/2026-09/deals?limit=5&associations=contacts&propertiesWithHistory=amount",
        "/crm/objects/2026-09/contacts?limit=50",
        "/crm/objects/2026-09/deals?archived=true",
        "/crm/v3/objects/deals/{deal}",
        "/crm/objects/2026-09/deals/{deal}?associations=companies",
        "/crm/v3/properties/deals",
        "/crm/properties/2026-09/deals",
        "/crm/properties/2026-09/contacts?archived=true",
        "/crm/properties/2026-09/deals/amount",
        "/crm/v3/pipelines/deals",
        "/crm/pipelines/2026-09/tickets",
        "/crm/pipelines/2026-09/deals/default",
        "/crm/owners/2026-09?limit=2",
        "/crm/owners/2026-09?archived=true",
        "/crm-object-schemas/2026-09/schemas",
        "/crm-object-schemas/2026-09/schemas/zipcodes",
        "/crm/associations/2026-09/deals/companies/labels",
        "/crm/v4/objects/deals/{deal}/associations/companies",
        "/account-info/2026-09/details",
        "/account-info/2026-09/api-usage/daily/private-apps",
    ],
)
def test_reading_fits(served: tuple[Api, Portal], path: str) -> None:
    api, portal = served
    path = path.format(deal=portal.ids()[0])

    answer = api.get(path)

    check("get", path.partition("?")[0], answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("path", "extra"),
    [
        ("/crm/v3/objects/deals/batch/read", []),
        ("/crm/v3/objects/deals/batch/read", [{"id": "1"}]),
        ("/crm/objects/2026-09/deals/batch/read", [{"id": "1"}]),
        ("/crm/v4/associations/deals/companies/batch/read", []),
        ("/crm/v4/associations/deals/companies/batch/read", [{"id": "1"}]),
        ("/crm/associations/2026-09/deals/companies/batch/read", [{"id": "1"}]),
    ],
)
def test_batches_fit(served: tuple[Api, Portal], path: str, extra: list[dict[str, str]]) -> None:
    api, portal = served

    answer = api.post(path, {"inputs": [*({"id": each} for each in portal.ids()[:5]), *extra]})

    check("post", path, answer.status_code, answer.json())


@pytest.mark.parametrize("path", ["/crm/v3/objects/deals", "/crm/objects/2026-09/deals"])
def test_search_fits(served: tuple[Api, Portal], path: str) -> None:
    api, _ = served

    answer = api.post(f"{path}/search", {"limit": 5})

    check("post", f"{path}/search", answer.status_code, answer.json())


def test_errors_fit(served: tuple[Api, Portal]) -> None:
    api, _ = served
    document = json.loads((FILES / "objects.2026-09.json").read_text(encoding="utf-8"))
    schema = {"$ref": "#/components/schemas/Error", "components": document["components"]}

    for answer in (
        api.get("/crm/v3/objects/deals", limit=1000),
        api.get("/crm/v3/objects/deals/abc"),
        api.post("/crm/v3/objects/deals/search", {"limit": 1000}),
    ):
        jsonschema.validate(answer.json(), schema, cls=Draft4Validator)


@pytest.mark.parametrize("root", ["/crm/v3/objects", "/crm/objects/2026-09"])
@pytest.mark.parametrize("extra", [{}, {"nothing": "1"}])
def test_record_writes_fit(served: tuple[Api, Portal], root: str, extra: dict[str, str]) -> None:
    api, portal = served
    company = portal.ids("companies")[0]
    fresh = f"{len(portal.writes)}@example.com"
    traced = {"objectWriteTraceId": "0"}
    bad = {"objectWriteTraceId": "1", "id": "x@example.com", "idProperty": "email"}
    upserts = [{"id": fresh, "idProperty": "email", "properties": {"city": "Ulm"}, **traced}]
    upserts += [{**bad, "properties": extra}] if extra else []
    creates = [{"properties": {"lastname": "x"}, "associations": [], **traced}]
    updates = [{"id": company, "properties": {"city": "Ulm"}}]
    updates += [{"id": "1", "properties": {}}] if extra else []

    for path, inputs in (
        (f"{root}/contacts/batch/upsert", upserts),
        (f"{root}/contacts/batch/create", creates),
        (f"{root}/companies/batch/update", updates),
    ):
        answer = api.post(path, {"inputs": inputs})
        check("post", path, answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("root", "objects"),
    [
        ("/crm/v4/associations", "/crm/v4/objects"),
        ("/crm/associations/2026-09", "/crm/objects/2026-09"),
    ],
)
def test_link_writes_fit(served: tuple[Api, Portal], root: str, objects: str) -> None:
    api, portal = served
    deal, contact = portal.ids()[0], portal.ids("contacts")[0]
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
    pairs = [{"from": {"id": deal}, "to": {"id": each}, "types": spec} for each in (contact, "1")]
    plain = [{"from": each["from"], "to": each["to"]} for each in pairs[:1]]

    for path, inputs in (
        (f"{root}/deals/contacts/batch/create", pairs),
        (f"{root}/deals/contacts/batch/create", pairs[:1]),
        (f"{root}/deals/contacts/batch/associate/default", plain),
    ):
        answer = api.post(path, {"inputs": inputs})
        check("post", path, answer.status_code, answer.json())
    path = f"{objects}/deals/{deal}/associations/contacts/{contact}"
    answer = api.session.put(api.url + path, json=spec, timeout=10)
    check("put", path, answer.status_code, answer.json())


@pytest.mark.parametrize("root", ["/crm/v3/objects", "/crm/objects/2026-09"])
def test_single_writes_and_refusals_fit(served: tuple[Api, Portal], root: str) -> None:
    api, _ = served
    document = json.loads((FILES / "objects.2026-09.json").read_text(encoding="utf-8"))
    schema = {"$ref": "#/components/schemas/Error", "components": document["components"]}
    path = f"{root}/contacts"

    made = api.post(path, {"properties": {"lastname": "x"}, "associations": []})
    refused = api.post(path, {"properties": {"lastname": "x", "nothing": "1"}})

    check("post", path, made.status_code, made.json())
    jsonschema.validate(refused.json(), schema, cls=Draft4Validator)
