"""The target's command line: `target-hubspot`, or `python -m target_hubspot`."""

import sys

from target_hubspot.process import hold_signals, is_program, write_whole_lines

if is_program("target-hubspot"):
    hold_signals()  # until the target heeds them

import click

from target_hubspot.ending import leave_log, tell
from target_hubspot.errors import SettingsError
from target_hubspot.target import TargetHubSpot


def main() -> None:
    """Run the command; what it is made of depends on the environment of now."""
    hold_signals()
    write_whole_lines()
    try:
        status = _command()(standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - each way to end is told
        status = tell(TargetHubSpot.logger, error)
    finally:
        leave_log()
    sys.exit(status)


def _command() -> click.Command:
    # Making it sets up the log, as the environment says.
    try:
        return TargetHubSpot.cli
    except Exception as error:
        sentence = f"LOGLEVEL or the file of SINGER_SDK_LOG_CONFIG cannot be used: {error}"
        raise SettingsError(sentence) from error


if __name__ == "__main__":
    main()
