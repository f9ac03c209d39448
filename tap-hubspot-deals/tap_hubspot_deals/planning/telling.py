"""A forecast in words and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from hubspot_client.usage import DailyUsage

    from tap_hubspot_deals.planning.forecast import Forecast, RunForecast
    from tap_hubspot_deals.planning.rehearsal import Rehearsed

FAMILIES = {"list": "list", "search": "search", "batch read": "batch_read", "associations": "links"}
"""The client's families as a plan names them; all others are metadata."""

READS = {"full": "all", "changes": "changes", "properties": "new properties"}
COLUMNS = (*FAMILIES.values(), "metadata")


def as_json(found: Forecast) -> str:
    """The forecast for programs."""
    usage = found.usage
    told: dict[str, Any] = {"next_run": _run(found.following, usage)}
    if found.anew is not None:
        told["full_run"] = _run(found.anew, usage)
    told["quota"] = usage and {
        "limit": usage.limit,
        "used": usage.used,
        "left": usage.left,
        "resets_at": usage.resets_at,
    }
    told["requests_for_this_plan"] = found.spent + found.following.begun.total()
    return json.dumps(told, indent=2)


def _run(run: RunForecast, usage: DailyUsage | None) -> dict[str, Any]:
    return {
        "requests": run.requests,
        "minutes": round(run.seconds / 60, 2),
        "percent_of_day": usage and round(100 * run.requests / usage.limit, 2),
        "families": _families(run.by_family),
        "beginning": _families(run.begun),
        "streams": [_stream(each) for each in run.streams],
    }


def _stream(one: Rehearsed) -> dict[str, Any]:
    families: dict[str, int] = dict.fromkeys(COLUMNS, 0)
    for (family, _), number in one.asked.items():
        families[FAMILIES[family]] += number
    return {
        "stream": one.stream,
        "reads": list(one.modes),
        "records": one.records,
        "requests": one.asked.total(),
        "families": families,
        "links": {to_type: number for (_, to_type), number in one.asked.items() if to_type},
    }


def _families(asked: Counter[str]) -> dict[str, int]:
    families: dict[str, int] = dict.fromkeys(COLUMNS, 0)
    for family, number in asked.items():
        families[FAMILIES.get(family, "metadata")] += number
    return families


def as_text(found: Forecast) -> str:
    """The forecast for people."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Forecast) -> Iterator[str]:
    usage = found.usage
    yield from _told(found.following, "The next run", usage)
    if found.anew is not None:
        yield ""
        yield from _told(found.anew, "A run without state", usage)
    yield ""
    if usage is None:
        yield "HubSpot does not tell how many requests of the day are left."
    else:
        resets = f" until {usage.resets_at}" if usage.resets_at else ""
        yield f"Of {usage.limit:,} requests of the day {usage.left:,} are left{resets}."
    own = found.spent + found.following.begun.total()
    yield f"This plan itself took {own:,} requests. Nothing was read or written."


def _told(run: RunForecast, which: str, usage: DailyUsage | None) -> Iterator[str]:
    told = _run(run, usage)
    share = "" if usage is None else f", {told['percent_of_day']:g} % of the day's"
    yield f"{which}: {run.requests:,} requests{share}; about {_duration(run.seconds)}."
    yield f"  {'':24}{'records':>10}{'':2}" + "".join(f"{name:>12}" for name in COLUMNS)
    rows = [("beginning", "", told["beginning"])]
    for stream in told["streams"]:
        reads = ", ".join(READS[mode] for mode in stream["reads"])
        rows.append((f"{stream['stream']} ({reads})", stream["records"], stream["families"]))
        rows += [
            (f"  links to {to_type}", "", {"links": number})
            for to_type, number in stream["links"].items()
        ]
    for name, records, families in rows:
        number = f"{records:,}" if records != "" else ""
        cells = "".join(f"{families.get(column) or '':>12}" for column in COLUMNS)
        yield f"  {name:24}{number:>10}{'':2}{cells}".rstrip()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"  # noqa: PLR2004
