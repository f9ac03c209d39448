"""HubSpot's own Python client reads and writes the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hubspot import HubSpot
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.contacts import BatchInputSimplePublicObjectBatchInputUpsert
from hubspot.crm.deals import (
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.deals.exceptions import ApiException

if TYPE_CHECKING:
    from hubspot_simulator import Portal, Simulator


@pytest.fixture
def client(hubspot: Simulator) -> Any:
    client = HubSpot(access_token=hubspot.portal().token)
    client.config["host"] = hubspot.url
    return client


def test_it_reads_all_deals_page_by_page(client: Any, portal: Portal) -> None:
    deals = client.crm.deals.get_all(properties=["amount", "dealname"])

    truth = portal.truth().live
    assert {deal.id for deal in deals} == truth.keys()
    assert all(deal.properties["amount"] == truth[deal.id].properties["amount"] for deal in deals)


def test_it_reads_archived_deals_with_their_associations(client: Any, portal: Portal) -> None:
    portal.archive("deals", portal.ids()[0])

    (archived,) = client.crm.objects.basic_api.get_page("deals", archived=True).results
    page = client.crm.deals.basic_api.get_page(limit=5, associations=["contacts"])

    assert archived.archived is True
    assert archived.archived_at > archived.created_at
    assert page.results[0].associations["contacts"].results[0].type == "deal_to_contact"


def test_it_searches(client: Any, portal: Portal) -> None:
    deal = portal.create("deals", {"amount": "987654321"})
    request = PublicObjectSearchRequest(
        filter_groups=[
            FilterGroup(filters=[Filter(property_name="amount", operator="EQ", value="987654321")])
        ],
        properties=["amount"],
        limit=10,
    )

    found = client.crm.deals.search_api.do_search(request)

    assert found.total == 1
    assert [each.id for each in found.results] == [deal]


def test_it_reads_a_batch_with_errors(client: Any, portal: Portal) -> None:
    first = portal.ids()[0]
    request = BatchReadInputSimplePublicObjectId(
        inputs=[{"id": first}, {"id": "1"}], properties=[], properties_with_history=[]
    )

    answer = client.crm.deals.batch_api.read(request)

    assert [each.id for each in answer.results] == [first]
    assert answer.errors[0].category == "OBJECT_NOT_FOUND"


def test_it_reads_associations_and_labels(client: Any, portal: Portal) -> None:
    deal = portal.ids()[0]
    request = BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": deal}])

    answer = client.crm.associations.v4.batch_api.get_page("deals", "companies", request)
    labels = client.crm.associations.v4.schema.definitions_api.get_all("deals", "companies")
    page = client.crm.associations.v4.basic_api.get_page("deals", deal, "companies")

    found = {(each.type_id, each.label) for each in answer.results[0].to[0].association_types}
    true = {
        (each.type_id, each.label)
        for each in portal.true_links("deals", "companies")
        if each.from_id == deal
    }
    assert found == true
    assert {each.type_id for each in labels.results} >= {type_id for type_id, _ in true}
    assert len(page.results) == 1


def test_it_reads_definitions_pipelines_and_owners(client: Any, portal: Portal) -> None:
    definitions = client.crm.properties.core_api.get_all("deals").results
    pipelines = client.crm.pipelines.pipelines_api.get_all("deals").results
    owners = client.crm.owners.get_all()

    assert [each.name for each in definitions] == portal.definitions("deals").names()
    assert [len(each.stages) for each in pipelines] == [7, 3]
    assert {each.id for each in owners} == {
        owner.id for owner in portal.owners if not owner.archived
    }


def test_it_reads_custom_objects_and_their_schema(client: Any, portal: Portal) -> None:
    kind = portal.add_object_type("zipcodes")
    new = portal.create("zipcodes")

    (schema,) = client.crm.schemas.core_api.get_all().results

    assert schema.object_type_id == kind.type_id
    assert [each.id for each in client.crm.objects.get_all(kind.type_id)] == [new]


def test_it_refreshes_a_token(client: Any, portal: Portal) -> None:
    portal.add_oauth_client("app", "secret", "refresh")

    token = client.oauth.tokens_api.create(
        grant_type="refresh_token",
        client_id="app",
        client_secret="secret",
        refresh_token="refresh",
    )

    assert token.expires_in == 1800
    assert token.access_token in portal.credentials


def test_it_understands_refusals(client: Any, hubspot: Simulator) -> None:
    hubspot.fail("ten_secondly")

    with pytest.raises(ApiException) as refused:
        client.crm.deals.basic_api.get_page()

    assert refused.value.status == 429


def test_it_writes_records_one_by_one_and_in_batches(client: Any, portal: Portal) -> None:
    made = client.crm.deals.basic_api.create(
        SimplePublicObjectInputForCreate(
            properties={"dealname": "new", "dealstage": "closedwon"}, associations=[]
        )
    )
    client.crm.deals.basic_api.update(
        made.id, SimplePublicObjectInput(properties={"dealname": "newer"})
    )
    answer = client.crm.contacts.batch_api.upsert(
        BatchInputSimplePublicObjectBatchInputUpsert(
            inputs=[
                {
                    "id": "a@example.com",
                    "idProperty": "email",
                    "properties": {"city": "Ulm"},
                    "objectWriteTraceId": "0",
                },
                {
                    "id": "b@example.com",
                    "idProperty": "email",
                    "properties": {"nothing": "1"},
                    "objectWriteTraceId": "1",
                },
            ]
        )
    )
    client.crm.deals.basic_api.archive(portal.ids()[0])

    assert portal.truth().live[made.id].properties["dealname"] == "newer"
    assert [each.new for each in answer.results] == [True]
    assert answer.errors[0].context == {"objectWriteTraceId": ["1"]}
    actions = [each.action for each in portal.writes]
    assert actions == ["created", "updated", "created", "archived"]


def test_it_links(client: Any, portal: Portal) -> None:
    deal, contact = portal.create("deals", {"dealname": "x"}), portal.ids("contacts")[0]

    client.crm.associations.v4.basic_api.create_default("deals", deal, "contacts", contact)

    assert any((each.from_id, each.to_id) == (deal, contact) for each in portal.true_links())
