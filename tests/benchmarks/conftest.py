"""What all benchmarks have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs have their bytecode, as they have where they are installed.

    Without it each start compiles what stands in this repository anew: 0.1 s for the tap.
    """
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
