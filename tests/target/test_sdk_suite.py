"""The SDK's own suite for targets."""

from __future__ import annotations

import pytest
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner
from target_deals_postgres.target import TargetDealsPostgres

SuiteOfTheSdk = get_target_test_class(target_class=TargetDealsPostgres)


class TestTarget(SuiteOfTheSdk):  # type: ignore[misc, valid-type]
    """Every stream of the SDK's suite, each into a database of its own."""

    @pytest.fixture
    def runner(self, database_url: str) -> TargetTestRunner:
        return TargetTestRunner(
            target_class=TargetDealsPostgres, config={"database_url": database_url}
        )
