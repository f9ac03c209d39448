"""The pages speak of the same settings, paths and commands as the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from crm_api.door import models
from crm_api.door.app import OPERATIONS
from crm_api.settings import Settings
from harness.crm_api import api
from harness.crm_api_settings import README, with_table

if TYPE_CHECKING:
    from pydantic import BaseModel


def test_the_settings_table_of_the_page_is_fresh() -> None:
    assert README.read_text(encoding="utf-8") == with_table()


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_description_has_the_operations_of_the_code_and_no_other() -> None:
    described = {
        (method.upper(), path, operation["operationId"], operation.get("security") == [])
        for path, operations in api()["paths"].items()
        for method, operation in operations.items()
    }

    assert described == {(each.method, each.path, each.name, each.is_public) for each in OPERATIONS}


@pytest.mark.parametrize(
    "model", [models.Register, models.Login, models.CreateDeal, models.CreateTicket]
)
def test_the_description_has_the_fields_of_the_code_and_no_other(model: type[BaseModel]) -> None:
    schema = api()["components"]["schemas"][model.__name__]

    assert schema["properties"].keys() == model.model_fields.keys()
    assert set(schema["required"]) == {
        name for name, field in model.model_fields.items() if field.is_required()
    }
    assert schema["additionalProperties"] is False


def test_the_description_has_the_queries_of_the_code() -> None:
    for path, model in (
        ("/api/new-crm-objects", models.ListQuery),
        ("/api/pipelines", models.PipelinesQuery),
    ):
        named = {each["name"] for each in api()["paths"][path]["get"]["parameters"]}
        assert named == {field.alias or name for name, field in model.model_fields.items()}


def test_commands_of_the_page_are_commands() -> None:
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"^crm-api ([a-z]+)", text, re.MULTILINE))

    assert named == {"migrate", "setup", "serve", "users"}
