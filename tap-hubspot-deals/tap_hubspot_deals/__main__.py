"""The tap's command line: `tap-hubspot-deals`, or `python -m tap_hubspot_deals`."""

from tap_hubspot_deals.process import importing

with importing():
    from tap_hubspot_deals.tap import TapHubspotDeals


def main() -> None:
    """Run the command, which is made here: what it is made of depends on the environment of now."""
    TapHubspotDeals.cli()


if __name__ == "__main__":
    main()
