"""The mail of a run: one for all its files, and none again about the same trouble too soon."""

from __future__ import annotations

import contextlib
import json
import os
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.utils import make_msgid
from typing import TYPE_CHECKING

from drop_folder.reports import FileReport, saved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from drop_folder.mapping import Mail, Smtp

SECONDS = 10.0
PASSWORD = "DROP_FOLDER_SMTP_PASSWORD"  # noqa: S105 - the name of the variable


def send_reports(mail: Mail | None, work: Path) -> str:
    """Send what is not out yet.

    Args:
        mail: To whom; None: nobody.
        work: Where reports wait.

    Returns:
        What went wrong; empty when nothing did. The reports wait for the next run then.
    """
    waiting = saved(work / "reports")
    wanted = [report for _, report in waiting]
    if mail is None or mail.when == "never":
        wanted = []
    elif mail.when == "problems":
        wanted = [report for report in wanted if report.is_problem]
    memory = work / ".mailed"
    if wanted and mail is not None:
        hours = mail.repeat_hours
        wanted = [each for each in wanted if not _is_repeated(memory, each, hours)]
    if wanted and mail is not None:
        try:
            _send(mail, wanted)
        except (OSError, smtplib.SMTPException, ValueError) as error:  # a password with an umlaut
            return f"The mail could not be sent ({type(error).__name__}); tried again next time."
        _remember(memory, wanted)
    for path, _ in waiting:
        path.unlink()
    return ""


def _message(mail: Mail, reports: Sequence[FileReport]) -> EmailMessage:
    message = EmailMessage()
    rows = sum(report.rows for report in reports)
    faults = sum(len(report.faults) for report in reports)
    files = "1 Datei" if len(reports) == 1 else f"{len(reports)} Dateien"
    message["Subject"] = f"[HubSpot-Import] {files}: {rows} Zeilen, {faults} abgelehnt"
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Message-ID"] = make_msgid(domain=mail.sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join(report.text() for report in reports) + "\n")
    return message


def fault_of(mail: Mail) -> str:
    """What keeps mails from being sent; empty when nothing does. None is sent."""
    try:
        with _server(mail.smtp) as server:
            server.noop()
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return f"The mail server {mail.smtp.host}:{mail.smtp.port}: {type(error).__name__}"
    return ""


def _send(mail: Mail, reports: Sequence[FileReport]) -> None:
    with _server(mail.smtp) as server:
        server.send_message(_message(mail, reports), from_addr=mail.sender, to_addrs=mail.to)


@contextlib.contextmanager
def _server(smtp: Smtp) -> Iterator[smtplib.SMTP]:
    """A conversation with the mail server, logged in where there is a user."""
    context = ssl.create_default_context()
    if smtp.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            smtp.host, smtp.port, timeout=SECONDS, context=context
        )
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=SECONDS)
    with server:
        if smtp.tls == "starttls":
            server.starttls(context=context)
        if smtp.user:
            server.login(smtp.user, os.environ.get(PASSWORD, ""))
        yield server


def _is_repeated(memory: Path, report: FileReport, hours: float) -> bool:
    if report.verdict != "returned":
        return False
    last = _known(memory).get(_trouble(report), 0.0)
    return time.time() - last < hours * 3600


def _trouble(report: FileReport) -> str:
    """What trouble a report tells of; that a file has waited too long is one of its own."""
    return f"{report.code} {report.name}" if report.is_late else report.code


def _known(memory: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _remember(memory: Path, reports: Sequence[FileReport]) -> None:
    known = _known(memory)
    known |= {_trouble(each): time.time() for each in reports if each.verdict == "returned"}
    if not any(each.verdict == "returned" for each in reports):
        known = {}  # it works again: the next trouble is news
    memory.write_text(json.dumps(known), "utf-8")
