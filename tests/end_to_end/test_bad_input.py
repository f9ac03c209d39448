"""What tap or target refuses, Meltano tells in one clear sentence, before anything is written.

All that they refuse is tried without Meltano (`tests/tap/test_bad_input.py`, `test_endings.py`,
`tests/target/test_codes.py`).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.meltano import Project
    from hubspot_simulator import Simulator

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "settings": (
        {
            "TAP_HUBSPOT_DEALS_TENANT_ID": None,
            "TAP_HUBSPOT_DEALS_ACCESS_TOKEN": None,
            "TAP_HUBSPOT_DEALS_START_DATE": "soon",
            "TAP_HUBSPOT_DEALS_PAGE_SIZE": 500,
        },
        [
            "`tenant_id` is missing",
            "`access_token` is missing",
            "`start_date` is no ISO 8601 date",
            "`page_size` must be from 1 to 100",
        ],
    ),
    "unreachable database": (
        {"TARGET_DEALS_POSTGRES_DATABASE_URL": "postgresql://u:hush@127.0.0.1:9/x"},
        ["database_url cannot be reached"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_a_sentence(
    case: str, hubspot: Simulator, make_project: Callable[..., Project], database_url: str
) -> None:
    changes, sentences = CASES[case]

    run = make_project(hubspot.portal(), "first").run(**changes)

    assert run.code != 0
    assert [sentence for sentence in sentences if sentence not in run.text] == []
    assert "Traceback" not in run.text
    assert "pat-na1" not in run.text
    assert "hush" not in run.text
    assert tables(database_url) == []


def tables(url: str) -> list[str]:
    """All tables that a run made."""
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        cursor.execute("select tablename from pg_tables where schemaname = 'hubspot'")
        return [name for (name,) in cursor.fetchall()]
