"""The simulator for people: `python -m hubspot_simulator`."""

from __future__ import annotations

import argparse
from pathlib import Path

from hubspot_simulator.behaviour import Behaviour
from hubspot_simulator.csv_scenario import csv_portal
from hubspot_simulator.limits import RateLimits
from hubspot_simulator.lives import add_lives
from hubspot_simulator.portal import Portal
from hubspot_simulator.simulator import Simulator

FIRST_TOKEN = "pat-na1-first"
SECOND_TOKEN = "pat-na1-second"


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        prog="hubspot-simulator",
        description="Serve two HubSpot portals on the loopback.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = arguments.add_argument
    add("--port", type=int, default=8650, help="0 takes a free one")
    add("--deals", type=int, default=500, help="deals of each portal")
    add("--contacts-per-deal", type=int, default=2)
    add("--companies-per-deal", type=int, default=1)
    add("--properties", type=int, default=9, help="custom properties of each object type")
    add("--seed", type=int, default=1, help="the second portal takes the next one")
    add("--same-millisecond", type=int, default=0, help="deals that changed on one millisecond")
    add("--archived", type=int, default=0, help="deals in the recycle bin")
    add("--lives", type=int, default=0, help="further deals, each with two years of history")
    add("--odd-values", action="store_true", help='65,536-character texts, "N/A" in numbers')
    add("--data", type=Path, help="folder with sales_pipeline.csv: fills the first portal")
    add("--limits", action="store_true", help="enforce HubSpot's rate limits")
    add("--latency-ms", type=float, default=0, help="added to every answer")
    add("--search-lag", type=float, default=0, help="seconds until search knows of a write")
    add("--time-zone", default="US/Eastern", help="of the accounts")
    add("--token", default=FIRST_TOKEN, help="of the first portal")
    add("--second-token", default=SECOND_TOKEN, help="of the second portal")
    return arguments


def portals(options: argparse.Namespace) -> list[Portal]:
    made = []
    for place, token in enumerate((options.token, options.second_token)):
        if options.data and place == 0:
            made.append(csv_portal(options.data, token=token))
            continue
        made.append(
            Portal.generate(
                options.deals,
                seed=options.seed + place,
                token=token,
                contacts_per_deal=options.contacts_per_deal,
                companies_per_deal=options.companies_per_deal,
                custom_properties=options.properties,
                # The same custom names have other types in the second portal.
                rotate_types=place,
                odd_values=options.odd_values,
                same_millisecond=options.same_millisecond,
                archived=options.archived,
                behaviour=Behaviour(),
            )
        )
    for portal in made:
        portal.limits = RateLimits(enabled=options.limits)
        portal.search_lag = options.search_lag
        portal.time_zone = options.time_zone
        if options.lives:
            portal.add_stage_properties()
            add_lives(portal, options.lives, seed=options.seed)
        portal.add_oauth_client(refresh_token=f"refresh-{portal.portal_id}")
    return made


def main() -> None:
    options = parser().parse_args()
    simulator = Simulator(portals(options), latency_ms=options.latency_ms, port=options.port)

    def greet() -> None:
        url = simulator.url
        print(f"HubSpot, simulated, on {url}")
        for portal in simulator.portals:
            count = portal.records("deals").live_count()
            print(f"  portal {portal.portal_id}: token {portal.token}, {count} deals")
        first = simulator.portals[0]
        print("Try:")
        print(
            f"  curl -H 'Authorization: Bearer {first.token}' '{url}/crm/v3/objects/deals?limit=2'"
        )
        deal = next(iter(first.records("deals").ids_from()), None)
        if deal is not None:
            body = f'{{"object_type": "deals", "object_id": "{deal}"}}'
            print(f"  curl -d '{body}' {url}/_simulator/{first.portal_id}/archive")
        print(f"  curl {url}/_simulator/{first.portal_id}/truth/deals", flush=True)

    simulator.run(greet)


if __name__ == "__main__":
    main()
