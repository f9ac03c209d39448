"""What a measured process took is its own, whatever the one that measures has in memory."""

from __future__ import annotations

import subprocess
import sys

from harness.beside import cost_of


def test_the_peak_is_not_that_of_the_process_that_measures() -> None:
    held = bytes(range(256)) * (1 << 20)  # 256 MB, every page touched
    command = [sys.executable, "-c", "held = bytes(range(256)) * (1 << 17)"]  # 32 MB

    cost, code, _ = cost_of(lambda meter: subprocess.Popen([*meter, *command]))

    assert code == 0
    assert len(held) == 256 << 20
    assert 32 < cost.peak < 100


def test_the_exit_code_and_the_log_are_those_of_the_command() -> None:
    command = [sys.executable, "-c", "import os, sys; print('ended', file=sys.stderr); os.abort()"]

    cost, code, log = cost_of(
        lambda meter: subprocess.Popen([*meter, *command], stderr=subprocess.PIPE)
    )

    assert (code, log) == (128 + 6, "ended\n")
    assert cost.wall > 0
