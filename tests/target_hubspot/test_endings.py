"""Every way the target ends is told once: a sentence for people, a code for programs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from harness.endings import (
    Plugin,
    cases,
    close_output,
    full_disk,
    interrupt_at_once,
    told,
    wrong,
)

from .conftest import TOKEN, lines, record, schema, state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubspot_simulator import Simulator

    from .conftest import Target

CONTACTS = schema("contacts", ["email"], email="string", city="string")
MESSAGES = [CONTACTS, record("contacts", email="a@example.com", city="Ulm")]


def test_every_odd_input_ends_with_one_code(hubspot: Simulator, tmp_path: Path) -> None:
    target = Plugin(
        "target-hubspot",
        "target_hubspot.__main__:main",
        {"access_token": TOKEN, "base_url": hubspot.url},
        "access_token",
        "contacts",
        "city",
        lines(MESSAGES),
    )
    assert wrong(target, cases(target, tmp_path), tmp_path) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_all_is_imported_is_told(target: Target, number: signal.Signals) -> None:
    with target.start() as process:
        interrupt_at_once(process, number)
        assert process.wait(60) == 128 + number  # its input is still open
        assert process.stderr is not None
        log = process.stderr.read().decode()
    assert [end[:2] for end in told(log)] == [("interrupted", True)]


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (full_disk, "state_unread"),
        (close_output, "state_unread"),
        (lambda: os.close(0), "input_invalid"),
    ],
)
def test_pipes_that_are_closed_or_full_are_told(
    target: Target, tmp_path: Path, prepare: Callable[[], None], code: str
) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        target.start(
            stdout=out, preexec_fn=prepare, report_path=None, rejected_path=None
        ) as process,
    ):
        _, log = process.communicate(lines([CONTACTS, state("x" * 200)]), timeout=120)
    assert [end[0] for end in told(log.decode())] == [code]
    assert process.returncode == 1


def test_states_that_nobody_reads_end_the_run(target: Target) -> None:
    with target.start() as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, log = process.communicate(lines([*MESSAGES, state(1)]), timeout=120)
    assert [end[:2] for end in told(log.decode())] == [("state_unread", True)]
    assert process.returncode == 1
