"""The tap's command line: `tap-hubspot-deals`, or `python -m tap_hubspot_deals`."""

import sys

from tap_hubspot_deals.process import hold_signals, importing, is_program

if is_program("tap-hubspot-deals"):
    hold_signals()  # until there is a log that can tell of them

with importing():
    import click

    from tap_hubspot_deals.ending import SettingsError, leave_log, signals_told, told
    from tap_hubspot_deals.tap import TapHubspotDeals


def main() -> None:
    """Run the command, which is made here: what it is made of depends on the environment of now."""
    hold_signals()
    with told(TapHubspotDeals.logger):
        command = _command()
        signals_told()
        status = command(standalone_mode=False)
    leave_log()
    sys.exit(status)


def _command() -> click.Command:
    """The command, with its log, which the environment says how to write."""
    try:
        return TapHubspotDeals.cli
    except Exception as exc:
        sentence = f"LOGLEVEL or the file of SINGER_SDK_LOG_CONFIG cannot be used: {exc}"
        raise SettingsError(sentence) from exc


if __name__ == "__main__":
    main()
