"""The command of the README that shows the drop folder."""

from __future__ import annotations

import subprocess
import sys

from harness.meltano import ROOT


def test_the_demo_shows_contacts_deals_files_and_the_mail() -> None:
    command = [sys.executable, "-m", "harness.drop_demo"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    for part in (
        "Ada | Muster1 | muster1@beispiel-verein.de | 01067 | Köln | McArena schorndorf | 2 deals",
        "| Bad Überlingen | McArena aalen | 1 deals",
        "processed/export-ulm_2026_11_28.",
        "Zeile 3, Spalte E-Mail: keine E-Mail-Adresse",
        "Spalten fehlen: E-Mail",
        "Subject: [HubSpot-Import] 4 Dateien: 9 Zeilen, 3 abgelehnt",
    ):
        assert part in run.stdout
