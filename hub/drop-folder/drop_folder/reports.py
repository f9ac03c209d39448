"""What became of a file, for people: in German and English, without a value or an address."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from drop_folder.doubts import KINDS
from drop_folder.folder import write_whole

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = 20
GROWING = "file_growing"
"""The code of a file that was still being written while it was read."""

Verdict = Literal["processed", "duplicate", "refused", "returned"]
VERDICTS = {
    "processed": "verarbeitet / processed",
    "duplicate": "schon verarbeitet, nicht gesendet / processed before, not sent",
    "refused": "abgelehnt / refused",
    "returned": "bleibt liegen, wird wieder versucht / stays, will be tried again",
}
COUNTS = (
    ("created", "neu / created"),
    ("updated", "geändert / updated"),
    ("unchanged", "unverändert / unchanged"),
    ("rejected", "abgelehnt / rejected"),
)


@dataclass
class FileReport:
    """What became of one file.

    Args:
        name: The file's.
        verdict: Where it went.
        rows: How many there are.
        contacts: Sums by kind.
        deals: The same.
        links: The same.
        faults: What is wrong with rows: line and sentence.
        warnings: What is doubtful, by kind: how often, and where first.
        seconds: That it took.
        reason: Why the file was refused, or stays.
        code: The code of what kept HubSpot from taking it.
        is_late: Whether it has waited longer than anybody should.
    """

    name: str
    verdict: Verdict
    rows: int = 0
    contacts: dict[str, int] = field(default_factory=dict)
    deals: dict[str, int] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    warnings: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    code: str = ""
    is_late: bool = False

    @property
    def is_everybodys(self) -> bool:
        """Whether the next file would only meet the same trouble."""
        return self.verdict == "returned" and self.code != GROWING

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to look at it."""
        return bool(self.faults) or self.verdict in {"refused", "returned"}

    def text(self) -> str:
        """The report for people."""
        lines = [f"{self.name}: {VERDICTS[self.verdict]}"]
        if self.reason:
            lines.append(f"  {self.reason}")
        if self.is_late:
            lines.append("  Wartet schon sehr lange / has waited for a very long time")
        if self.rows:
            lines.append(f"  Zeilen / rows: {self.rows}, {self.seconds:.1f} s")
        for label, sums in (
            ("Kontaktzeilen / contact rows", self.contacts),
            ("Dealzeilen / deal rows", self.deals),
            ("Verknüpfungen / links", self.links),
        ):
            if sums:
                told = ", ".join(f"{sums.get(kind, 0)} {word}" for kind, word in COUNTS)
                lines.append(f"  {label}: {told}")
        lines += [f"  {sentence}" for _, sentence in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            more = len(self.faults) - SHOWN
            lines.append(f"  … und {more} weitere / and {more} more")
        if self.warnings:
            lines.append("  Hinweise / warnings:")
        for kind, (count, places) in self.warnings.items():
            rest = ", …" if count > len(places) else ""
            lines.append(f"    {KINDS[kind]}: {count} ({', '.join(places)}{rest})")
        return "\n".join(lines)

    def save(self, folder: Path, name: str) -> None:
        """Keep the report until its mail is out."""
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / name, json.dumps(asdict(self), ensure_ascii=False))


def saved(folder: Path) -> list[tuple[Path, FileReport]]:
    """The reports whose mail is not out yet, oldest first."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        content["faults"] = [(line, sentence) for line, sentence in content["faults"]]
        found.append((path, FileReport(**content)))
    return found
