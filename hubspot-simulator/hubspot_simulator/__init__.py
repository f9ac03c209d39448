"""A HubSpot to read from: portals of generated or given records, served over HTTP.

    from hubspot_simulator import Behaviour, Fault, Portal, RateLimits, Simulator

    with Simulator([Portal.generate(500, seed=1, token="pat-na1-test")], latency_ms=0) as hubspot:
        hubspot.url                        # http://127.0.0.1:<free port>
        portal = hubspot.portal()          # the first; portal(1) the second

*Portals.* `Portal.generate(deals, seed=, token=, contacts_per_deal=, companies_per_deal=,
custom_properties=, rotate_types=, odd_values=, same_millisecond=, archived=, counts={"tickets": 9},
custom_objects=["zipcodes"], scopes=[...])`; `csv_portal(folder)` reads the sales opportunities;
`Portal()` is empty. Further tokens: `portal.add_token(token, scopes=, expires_in=)` and
`portal.add_oauth_client(client_id, client_secret, refresh_token, expires_in=1800)`.

*Writing*, at any time and from any thread; ids are str or int, `at` is a datetime or epoch
milliseconds (default: now), types go by any of their names::

    new = portal.create("deals", {"dealname": "x", "amount": "1.50"}, at=None)
    portal.change("deals", new, {"amount": "2"}, touch=True)  # touch=False: modified date stays
    portal.archive("deals", new)
    portal.restore("deals", new, at=None)
    portal.delete("deals", new)
    survivor = portal.merge("deals", primary, other)  # a new id; the old ones are gone
    portal.link("deals", deal, "contacts", contact, label="Decision maker")
    portal.unlink("deals", deal, "contacts", contact)
    portal.relabel("deals", deal, "contacts", contact, ["Decision maker"])
    portal.add_label("deals", "contacts", "Signs", inverse="Signed by")
    portal.add_property("deals", "Score", "number")
    portal.retype_property("deals", "Score", "string")
    portal.archive_property("deals", "Score")
    portal.add_object_type("zipcodes")

*Truth*, without HTTP: `portal.truth("deals")` has `live`, `archived` (dicts of `TrueRecord` by id,
`properties` holds every defined property), `merged` (old id -> survivor), `deleted`;
`portal.true_links("deals", "contacts")` is the set of `TrueLink(from_id, to_id, category, type_id,
label)` between live records; `portal.ids("deals", archived=False)` is a list.

*History*: every version of every property is kept, and told as HubSpot tells it: the newest 20 of
a property (`behaviour.history_versions`), 45 of a contact's. `portal.truth_at(moment, "deals")` are
the records that were there at a moment, as they were then. `add_lives(portal, 10_000, seed=1)`
makes deals with a past; `portal.add_stage_properties("deals")` defines HubSpot's times per stage.

*Switches*: `portal.behaviour` (see `Behaviour`: opaque_cursors, unordered_list, short_page_every,
association_page, ...), `portal.search_lag` in seconds, `portal.limits` (see `RateLimits`;
`enabled` is off), `hubspot.latency_ms`, `hubspot.advance(seconds)` for lag, expiry and limits.

*Writes over HTTP*: create, update, upsert, archive (one or a batch), links and property
definitions, in both path families. `portal.writes` lists every `Write` that was taken: action,
record, trace id, changed properties; `portal.records("contacts").rules` are an admin's rules;
`portal.search_flicker` lets search lose a new record once more.

*Faults*: `hubspot.fail("status", status=502, endpoint="list", nth=3)`; kinds and choices of
requests are in `Fault`; `carried_out=True` fails after the write; `hubspot.heal()` ends them.

*Requests*: `hubspot.requests.count(endpoint="list", object_type="deals", status=200)`,
`.all(...)`, `.counts("endpoint")`, `.max_in_flight`, `.clear()`. Endpoints: list, single, search,
batch_read, associations, labels, properties, pipelines, owners, schemas, account, oauth,
legacy_list, unknown; create, update, archive, batch_create, batch_update, batch_upsert,
batch_archive, link, unlink, define. `family` is numbered (v1, v3, v4) or dated (2026-09); `body`
is there for hooks and `when` only.

*Hooks*: `hubspot.on_request(callback)` before each answer is made; `hubspot.after(3, do,
endpoint="list")` once, when the third answer is made but not yet sent.

*Other processes*: `python -m hubspot_simulator --help`; POST JSON to
`/_simulator/{portal_id}/{create|change|archive|...}` with the arguments of the methods above,
`/_simulator/{portal_id}/settings` with names of switches, `/_simulator/faults` with the arguments
of `Fault`, `/_simulator/world` with `latency_ms` or `advance`; GET
`/_simulator/{portal_id}/truth/{type}`, `/_simulator/{portal_id}/truth/links/{from}/{to}`,
`/_simulator/{portal_id}/writes`, `/_simulator/requests`, `/_simulator/portals`.
"""

from hubspot_simulator.behaviour import Behaviour
from hubspot_simulator.csv_scenario import csv_portal
from hubspot_simulator.faults import Fault
from hubspot_simulator.limits import RateLimits
from hubspot_simulator.lives import add_lives
from hubspot_simulator.portal import Portal
from hubspot_simulator.request_log import LoggedRequest
from hubspot_simulator.simulator import Simulator
from hubspot_simulator.truth import TrueLink, TrueRecord, Truth
from hubspot_simulator.write_log import Write

__all__ = [
    "Behaviour",
    "Fault",
    "LoggedRequest",
    "Portal",
    "RateLimits",
    "Simulator",
    "TrueLink",
    "TrueRecord",
    "Truth",
    "Write",
    "add_lives",
    "csv_portal",
]
