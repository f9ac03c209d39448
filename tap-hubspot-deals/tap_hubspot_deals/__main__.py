"""`python -m tap_hubspot_deals`: the tap's command line."""

from tap_hubspot_deals.tap import TapHubspotDeals

TapHubspotDeals.cli()
