"""One file from its claim to its verdict."""

from __future__ import annotations

import csv
import io
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubspot_client.errors import HubSpotError

from drop_folder.account import Account, conversation
from drop_folder.booking import BadRowError, Reader
from drop_folder.doubts import Doubts
from drop_folder.folder import write_whole
from drop_folder.pipeline import DIED, Passed
from drop_folder.reports import GROWING, FileReport
from drop_folder.rows import BadFileError, text_of
from drop_folder.sheets import open_sheet
from drop_folder.tap import said, streams_of

if TYPE_CHECKING:
    from drop_folder.folder import Claim, Folder
    from drop_folder.mapping import Mapping
    from drop_folder.pipeline import Pipeline

FEW = 20
"""Rejected rows that never refuse a file, whatever their part of it."""

TRIES = 3
LATER = {
    "hubspot_unavailable",
    "hubspot_rate_limited",
    "hubspot_daily_limit",
    "hubspot_account_moving",
    "hubspot_inconsistent",
    "hubspot_refused",
    "interrupted",
    "file_unwritable",
    GROWING,
}
"""How a file's way ends where it is not to blame: it may be good another time."""

SETUP = {"hubspot_unauthorized", "hubspot_missing_scope", "settings_invalid"}
STATUS = {"processed": 0, "duplicate": 0, "refused": 2}


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """A signal ends the run; the file waits in `.work`."""


class Job:
    """Brings claimed files to HubSpot, one after the other.

    Args:
        mapping: The whole.
        folder: Where files come from and go to.
        pipeline: Tap and target.
    """

    def __init__(self, mapping: Mapping, folder: Folder, pipeline: Pipeline) -> None:
        self._mapping = mapping
        self._folder = folder
        self._pipeline = pipeline
        self.is_stopping = False
        self._is_account_good = False

    def hold(self, lock: int) -> None:
        """Let the folder stay locked as long as a target of this run lives, even without us."""
        self._pipeline.lock = lock

    def carry_out(self, claim: Claim) -> FileReport:
        """Bring one file to its end.

        Raises:
            Stopped: If a signal ended the run; the file is still claimed.
        """
        fingerprint = self._folder.fingerprint(claim)
        size = claim.path.stat().st_size
        skips = self._mapping.on_duplicate == "skip"
        if skips and self._folder.was_processed(claim, fingerprint):
            report = FileReport(claim.shown, "duplicate")
            report.save(self._folder.work / "reports", f"{claim.stamp}.json")
            self._folder.keep(claim, f"{fingerprint}.duplicate")
            return report
        report = self.judge(claim)
        if self.is_stopping:
            raise Stopped
        if claim.path.stat().st_size != size:
            reason = "Die Datei wurde noch geschrieben. / The file was still being written."
            report = FileReport(claim.shown, "returned", report.rows, reason=reason, code=GROWING)
        if report.verdict == "returned" and report.code == DIED:
            report = self._count_death(claim, report)
        if report.verdict == "returned":
            waited = time.time() - claim.path.stat().st_mtime
            report.is_late = waited > 3600 * self._mapping.give_up_hours
        report.save(self._folder.work / "reports", f"{claim.stamp}.json")
        if report.verdict == "returned":
            self._folder.give_back(claim)
        elif report.verdict == "refused":
            write_whole(self._folder.beside(claim, "bericht.txt"), report.text() + "\n")
            self._folder.keep(claim, fingerprint, bad=True)
        else:
            if report.faults:
                self._write_faults(claim, report)
            self._folder.keep(claim, fingerprint)
        self._tidy(claim)
        return report

    def judge(self, claim: Claim) -> FileReport:
        """Read a file, and bring it to HubSpot if it can be read. Nothing is moved."""
        began = time.monotonic()
        report = self._judge(claim)
        report.seconds = round(time.monotonic() - began, 3)
        return report

    def _judge(self, claim: Claim) -> FileReport:
        report = FileReport(claim.shown, "processed")
        ended = self._look_through(claim, report)
        if ended is not None:
            return ended
        return report if self._is_too_bad(report) else self._send(claim, report)

    def _look_through(self, claim: Claim, report: FileReport) -> FileReport | None:
        """Read a file before anything of it is sent; tell what ends its way here."""
        try:
            self._read_through(claim, report)
        except BadFileError as error:
            return FileReport(claim.shown, "refused", reason=str(error))
        except UnicodeError:
            return FileReport(claim.shown, "refused", reason="Die Datei ist nicht lesbar.")
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - one file must not keep all others away
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__}, {Path(place.filename).name}:{place.lineno}"
            return self._not_done(report, Passed(DIED, f"Fehler des Programms / a fault: {where}"))
        return None

    def _send(self, claim: Claim, report: FileReport) -> FileReport:
        """Bring the good rows to HubSpot, stream by stream."""
        unfit = self._check_account()
        if unfit is not None:
            return self._not_done(report, unfit)
        left_out = {line for line, _ in report.faults}
        for stream in streams_of(self._mapping):
            if self.is_stopping:  # the file stays claimed: see `carry_out`
                break
            passed = self._pipeline.run(claim, stream, left_out=left_out)
            if passed.code:
                return self._not_done(report, passed)
            self._add(report, stream, passed)
            if stream == "contacts":
                left_out |= {each.line for each in passed.rejects}
                if self._is_too_bad(report):
                    break
        report.faults.sort()
        return report

    def _is_too_bad(self, report: FileReport) -> bool:
        """Refuse a file of which too much is bad: nothing, or no more of it, is sent."""
        bad = len(report.faults)
        share = 100 * bad / max(report.rows, 1)
        if bad <= FEW or share <= self._mapping.limits.max_rejected_percent:
            return False
        report.verdict = "refused"
        report.reason = f"{bad} von {report.rows} Zeilen sind fehlerhaft."
        if report.contacts:
            report.reason += " Die übrigen Kontakte sind gesendet, Deals nicht."
        return True

    def _check_account(self) -> Passed | None:
        """Look once whether the account has what the mapping writes; tell what keeps it from it."""
        if self._is_account_good:
            return None
        try:
            with conversation(self._mapping) as client:
                account = Account(self._mapping, client)
                faults = account.faults()
        except HubSpotError as error:
            return Passed(error.code, str(error))
        if faults:
            return Passed("settings_invalid", f"{'; '.join(faults)}.")
        self._is_account_good = True
        self._pipeline.owners = account.owners
        return None

    def _read_through(self, claim: Claim, report: FileReport) -> None:
        """Read all rows once before anything is sent."""
        sheet = open_sheet(claim.path, self._mapping)
        reader = Reader(self._mapping, sheet, self._mapping.site_of(claim.shown))
        doubts = Doubts(self._mapping, sheet)
        for row in sheet.rows():
            report.rows += 1
            if report.rows > self._mapping.limits.max_rows:
                raise BadFileError(f"Mehr als {self._mapping.limits.max_rows} Zeilen.")
            try:
                doubts.see(row, reader.read(row))
            except BadRowError as bad:
                report.faults.append((bad.line, said(bad)))
        report.warnings = doubts.told()

    def _add(self, report: FileReport, stream: str, passed: Passed) -> None:
        sums = {kind: count for kind, count in passed.sums.items() if isinstance(count, int)}
        if stream == "contacts":
            report.contacts = sums
        else:
            report.deals = sums
            links = {kind: each for kind, each in passed.links.items() if isinstance(each, int)}
            report.links = links
        known = {line for line, _ in report.faults}
        for each in passed.rejects:
            if each.line not in known:
                sentence = f"Zeile {each.line}, {self._header_of(each.property)}: {each.code}"
                report.faults.append((each.line, sentence))

    def _header_of(self, name: str) -> str:
        """The column that a property comes from; the property where it comes from none."""
        column = self._mapping.contacts.columns.get(name)
        return f"Spalte {column.names[0]}" if column and column.names else f"Eigenschaft {name}"

    def _not_done(self, report: FileReport, passed: Passed) -> FileReport:
        code = passed.code if passed.code in LATER | SETUP else DIED
        reason = passed.sentence or "Das Programm brach ab. / The program broke off."
        return FileReport(report.name, "returned", report.rows, reason=reason, code=code)

    def _count_death(self, claim: Claim, report: FileReport) -> FileReport:
        """A file at which the target died three times is not tried for ever."""
        path = self._folder.work / f".tries-{self._folder.fingerprint(claim)}"
        tries = int(path.read_text() if path.exists() else 0) + 1
        if tries < TRIES:
            path.write_text(str(tries))
            return report
        path.unlink(missing_ok=True)
        return FileReport(report.name, "refused", report.rows, reason=report.reason)

    def _write_faults(self, claim: Claim, report: FileReport) -> None:
        """Write the bad rows alone, as they were, with what is wrong: to be mended and dropped."""
        sheet = open_sheet(claim.path, self._mapping)
        faults = dict(report.faults)
        text = io.StringIO()
        writer = csv.writer(text, delimiter=";")
        writer.writerow([*sheet.header, "_zeile", "_grund"])
        for row in sheet.rows():
            if row.line in faults:
                writer.writerow([*map(text_of, row.cells), row.line, faults[row.line]])
        path = self._folder.beside(claim, "fehler.csv")
        write_whole(path, text.getvalue(), encoding="utf-8-sig")

    def _tidy(self, claim: Claim) -> None:
        """Leave nothing of a file that has come to its end, or goes back."""
        for path in self._folder.work.glob(f"{claim.stamp}.*"):
            path.unlink()


def status_of(reports: list[FileReport]) -> int:
    """What the program exits with: the highest trouble wins."""
    found = Counter[int]()
    for report in reports:
        if report.verdict == "returned":
            found[78 if report.code in SETUP else 75] += 1
        elif report.verdict == "refused":
            found[2] += 1
        elif report.faults:
            found[1] += 1
    return next((each for each in (78, 75, 2, 1) if found[each]), 0)


def told(reports: list[FileReport]) -> dict[str, Any]:
    """The sums of a run, for the log."""
    return {
        "files": len(reports),
        "rows": sum(each.rows for each in reports),
        "rejected": sum(len(each.faults) for each in reports),
    }
