"""A small account that takes writes, and writers for it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hubspot_client.access import Access
from hubspot_client.client import Client
from hubspot_client.writing.plan import Plan, definitions
from hubspot_client.writing.records import RecordWriter
from hubspot_simulator import Portal, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "pat-na1-writing"
LOGGER = logging.getLogger("writing")


@pytest.fixture
def portal() -> Portal:
    portal = Portal.generate(5, seed=3, token=TOKEN)
    portal.add_property("deals", "booking", has_unique_value=True)
    return portal


@pytest.fixture
def hubspot(portal: Portal) -> Iterator[Simulator]:
    with Simulator([portal]) as simulator:
        yield simulator


@contextmanager
def conversation(hubspot: Simulator, **access: Any) -> Iterator[Client]:
    client = Client(Access(access_token=TOKEN, base_url=hubspot.url, **access), LOGGER)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(hubspot: Simulator) -> Iterator[Client]:
    with conversation(hubspot) as client:
        yield client


def make_writer(
    client: Client,
    object_type: str = "contacts",
    key: str | None = "email",
    *,
    names: tuple[str, ...] = (),
    run: str = "run",
    plan: dict[str, Any] | None = None,
    **options: Any,
) -> RecordWriter:
    known = definitions(client, object_type, object_type)
    made = Plan(object_type, known, key=key, **(plan or {}))
    made.check(names)
    return RecordWriter(client, made, run=run, **options)


@pytest.fixture
def writer_of(client: Client) -> Iterator[Callable[..., RecordWriter]]:
    made = []

    def make(*args: Any, **options: Any) -> RecordWriter:
        made.append(make_writer(client, *args, **options))
        return made[-1]

    yield make
    for writer in made:
        writer.close()
