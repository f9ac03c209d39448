"""Knows what must be there before a process of the service begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scan_service.guard.vault import Vault
from scan_service.ledger.migrations import pending_when_there
from scan_service.pipeline.folders import RunDirectoryError, prepare

if TYPE_CHECKING:
    from scan_service.settings import Settings


class NotReadyError(Exception):
    """The service cannot start as it is configured."""


async def refuse_unready(settings: Settings, *, works: bool = True) -> None:
    """Refuse to start where nothing could work, and say what is missing.

    Args:
        settings: of the process.
        works: whether it carries out scans, and needs what runs need.

    Raises:
        NotReadyError: something is missing.
        VaultError: the secret keys are none.
    """
    Vault(settings.secret_keys)
    missing = await pending_when_there(settings.database_url)
    if missing:
        raise NotReadyError(
            f"The database lacks {len(missing)} migrations; run `scan-service migrate` first"
        )
    if not works:
        return
    try:
        prepare(settings.run_directory)
    except OSError as error:
        raise NotReadyError(
            str(error.strerror)
            if isinstance(error, RunDirectoryError)
            else f"SCAN_SERVICE_RUN_DIRECTORY cannot be made: {error.strerror}"
        ) from None
    if not (settings.project_root / "meltano.yml").is_file():
        raise NotReadyError(
            "There is no meltano.yml here; set SCAN_SERVICE_PROJECT_ROOT to its folder"
        )
