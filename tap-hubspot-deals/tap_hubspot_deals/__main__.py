"""The tap's command line: `tap-hubspot-deals`, or `python -m tap_hubspot_deals`."""

from tap_hubspot_deals.process import importing

with importing():
    from tap_hubspot_deals.tap import TapHubspotDeals

main = TapHubspotDeals.cli

if __name__ == "__main__":
    main()
