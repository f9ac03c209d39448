"""`drop-folder`: what cron starts.

Exit codes: 0 all done, nothing to do, or another run is at it; 1 some rows rejected; 2 a file
refused; 64 usage; 74 folder or disk; 75 try again later; 78 mapping, token, scope or property.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hubspot_client.errors import HubSpotError

from drop_folder.account import TOKEN, Account, conversation
from drop_folder.folder import Claim, Folder, FolderError
from drop_folder.job import LATER as WAITED_FOR
from drop_folder.job import Job, Stopped, status_of, told
from drop_folder.mails import fault_of, send_reports
from drop_folder.mapping import Mapping, MappingError, load
from drop_folder.pipeline import Pipeline
from drop_folder.rows import BadFileError

if TYPE_CHECKING:
    from drop_folder.mapping import Mail
    from drop_folder.reports import FileReport

OK, REFUSED, USAGE, DISK, LATER, SETUP = 0, 2, 64, 74, 75, 78
RANKS = (OK, 1, REFUSED, LATER, DISK, SETUP)
"""From no trouble to the highest, which wins."""

WATCH_SECONDS = 5.0
LOGGER = logging.getLogger("drop-folder")


class Parser(argparse.ArgumentParser):
    """Ends with 64 where it is used wrongly."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what was wrong."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = Parser(
        prog="drop-folder", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = found.add_argument
    add(
        "what",
        nargs="?",
        choices=("run", "setup", "properties"),
        default="run",
        help="run (default); setup: make the properties in HubSpot that the mapping names and the "
        "account lacks;\nproperties: list the account's by label and name",
    )
    add("--config", required=True, type=Path, help="the mapping file")
    add(
        "--file",
        type=Path,
        help="this file only, which stays where it is; with --dry-run or setup --options",
    )
    add(
        "--options",
        action="store_true",
        help="with setup: add the options that properties lack, of the mapping and of the files "
        "that wait",
    )
    add(
        "--dry-run",
        action="store_true",
        help="read HubSpot, write and move nothing, say what would be",
    )
    add(
        "--check",
        action="store_true",
        help="check mapping, folder, HubSpot and mail server, and end",
    )
    add("--watch", action="store_true", help="go on looking for files until a signal comes")
    return found


def main() -> None:
    """The command line."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    options = parser().parse_args()
    if options.options and options.what != "setup":
        parser().error("--options goes with setup")
    if options.file and not (options.dry_run or options.options):
        parser().error(
            "--file goes with --dry-run or setup --options: a run takes the files of its folder"
        )
    try:
        mapping = load(options.config)
        if not os.environ.get(TOKEN):
            raise MappingError(f"Set {TOKEN} to a private app's token of the HubSpot account.")  # noqa: TRY301
        folder = Folder(mapping)
    except MappingError as error:
        LOGGER.error("%s", error)  # noqa: TRY400
        sys.exit(SETUP)
    except FolderError as error:
        LOGGER.error("%s", error)  # noqa: TRY400
        sys.exit(DISK)
    if options.check or options.what != "run":
        files: list[Path] | None = None
        if options.options:
            files = [options.file] if options.file else folder.ready()
        sys.exit(_ask(mapping, options.what, files))
    pipeline = Pipeline(mapping, options.config.resolve(), folder.work, dry_run=options.dry_run)
    job = Job(mapping, folder, pipeline)
    if options.dry_run:
        sys.exit(_try(folder, job, options.file))
    _heed_signals(job, pipeline)
    status = _run(mapping, folder, job)
    while options.watch and not job.is_stopping:
        time.sleep(WATCH_SECONDS)
        status = _run(mapping, folder, job)
    sys.exit(status)


def _ask(mapping: Mapping, what: str, files: list[Path] | None) -> int:
    """Check the account and the mail server, make properties and options, or list them."""
    try:
        with conversation(mapping) as client:
            account = Account(mapping, client)
            if what == "properties":
                print("\n".join(account.told()))  # noqa: T201 - that is what was asked for
                return OK
            if what == "setup":
                for name in account.make_missing():
                    LOGGER.info("Made the property %s.", name)
                account = Account(mapping, client)
                for name in account.add_options(files) if files is not None else ():
                    LOGGER.info("Added options to %s.", name)
                account = Account(mapping, client)
            faults = account.faults()
    except (BadFileError, OSError) as error:
        LOGGER.error("A file cannot be read: %s", error)  # noqa: TRY400
        return REFUSED
    except HubSpotError as error:
        LOGGER.error("%s", error)  # noqa: TRY400
        return LATER if error.code in WAITED_FOR else SETUP
    return _judge(mapping.mail if what == "run" else None, faults)


def _judge(mail: Mail | None, faults: list[str]) -> int:
    """Tell what keeps a run from going well; also of the mail server, where that is asked."""
    if mail is not None and (fault := fault_of(mail)):
        faults.append(fault)
    for fault in faults:
        LOGGER.error("%s.", fault)
    if not faults:
        told = ", the mail server" if mail is not None else ""
        LOGGER.info("The mapping, the folder, the account%s are good.", told)
    return SETUP if faults else OK


def _heed_signals(job: Job, pipeline: Pipeline) -> None:
    def heed(number: int, _: object) -> None:
        job.is_stopping = True
        pipeline.stop(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, heed)


def _try(folder: Folder, job: Job, file: Path | None) -> int:
    """Say what would become of the files, and leave them where they are."""
    reports = []
    try:
        files = [file] if file else folder.ready()
        for path in files:
            reports.append(job.judge(Claim(path.resolve(), path.name, "dry-run")))
            print(reports[-1].text())  # noqa: T201 - that is what was asked for
    except OSError as error:
        LOGGER.error("A file cannot be read: %s.", error.strerror)  # noqa: TRY400
        return DISK
    finally:
        for path in folder.work.glob("dry-run.*"):
            path.unlink()
    return status_of(reports)


def _run(mapping: Mapping, folder: Folder, job: Job) -> int:
    """One look at the folder."""
    reports: list[FileReport] = []
    try:
        with folder.locked() as mine:
            if mine is None:
                LOGGER.info("Another run is at it.")
                return OK
            job.hold(mine)
            for claim in folder.claimed():
                reports.append(job.carry_out(claim))  # noqa: PERF401 - one may raise
            status = _take(folder, job, reports)
            _tidy(mapping, folder)
    except Stopped:
        LOGGER.info("Ended by a signal; the file is taken up again by the next run.")
        return LATER
    except OSError as error:
        LOGGER.error("The folder cannot be written: %s.", error.strerror)  # noqa: TRY400
        return DISK
    if reports:
        LOGGER.info("%(files)d files, %(rows)d rows, %(rejected)d rejected", told(reports))
    return max(status, status_of(reports), LATER if job.is_stopping else OK, key=RANKS.index)


def _take(folder: Folder, job: Job, reports: list[FileReport]) -> int:
    """Bring what is ready to its end; what cannot be taken stays, and keeps no other file away."""
    status = OK
    for path in folder.ready():
        if job.is_stopping or any(each.is_everybodys for each in reports):
            break  # HubSpot has trouble: the others would only meet it, too
        try:
            fresh = folder.claim(path)
        except FolderError as error:
            LOGGER.error("%s", error)  # noqa: TRY400
            status = DISK
            continue
        if fresh is not None:
            reports.append(job.carry_out(fresh))
    return status


def _tidy(mapping: Mapping, folder: Folder) -> None:
    """Let old files go, and send what there is to tell."""
    if gone := folder.age_out():
        LOGGER.info("%d files of processed and errorprocessed were old enough to go", gone)
    trouble = send_reports(mapping.mail, folder.work)
    if trouble:
        LOGGER.warning("%s", trouble)


if __name__ == "__main__":
    main()
