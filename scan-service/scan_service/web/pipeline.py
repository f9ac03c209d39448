"""Knows the page about the pipeline: what a finished scan says of stages, months and stalls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scan_service.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from scan_service.web.visits import Visit

_OFFERED = 20
_DAYS = "30"
_NONE = "(none)"


async def shown(visit: Visit) -> Response:
    """GET /pipeline: of the newest completed scan that read deals, or of the one that is chosen."""
    found = await visit.ask(
        "GET", "/scan/list", query={"status": "completed", "page_size": _OFFERED}
    )
    scans = [each["scanId"] for each in found["scans"]]
    asked, days = visit.chosen("scan"), visit.chosen("days") or _DAYS
    answer = await _first(visit, [asked] if asked else scans, days)
    if answer is None:
        return visit.show("pipeline.html", answer=None, scans=scans, days=days)
    return visit.show("pipeline.html", answer=answer, scans=scans, days=days, **_drawn(answer))


async def _first(visit: Visit, scans: Sequence[str], days: str) -> dict[str, Any] | None:
    """Return the figures of the first of these scans that read deals."""
    for scan in scans:
        try:
            found: dict[str, Any] = await visit.ask(
                "GET", "/scan/pipeline/{scan_id}", scan_id=scan,
                query={"stalled_days": days, "include_labels": "true"},
            )  # fmt: skip
        except InvalidRequestError as error:
            if len(scans) == 1 or "object" not in str(error.details):
                raise
            continue  # it read other types
        return found
    return None


def _drawn(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page draws: pipelines with their stages, months, and how long bars are."""
    figures, labels = answer["figures"], answer["labels"]
    pipelines: dict[str, dict[str, Any]] = {}
    for each in figures["stages"]:
        known = labels.get(each["pipeline"], {})
        of = pipelines.setdefault(
            each["pipeline"], {"label": known.get("label", each["pipeline"] or _NONE), "stages": []}
        )
        passed = figures["passed"].get(each["stage"], {"deals": None, "averageSeconds": None})
        label = _label(labels, each["pipeline"], each["stage"])
        of["stages"].append({**each, "label": label, "passed": passed})
    for key, of in pipelines.items():
        order = list(labels.get(key, {}).get("stages", ()))
        # As HubSpot has them; without that, as deals came to them.
        of["stages"].sort(key=lambda each, order=order: _place(order, each["stage"]))
        _scale(of["stages"], "deals", "width")
        for each in of["stages"]:
            each["passed"] = {**each["passed"], "width": 0}
        _scale([each["passed"] for each in of["stages"]], "deals", "width")
    months = [dict(each) for each in figures["months"]]
    tallest = max((max(each["wonAmount"], each["openAmount"]) for each in months), default=0)
    for each in months:
        each["won"] = _part(each["wonAmount"], tallest)
        each["open"] = _part(each["openAmount"], tallest)
    return {
        "pipelines": list(pipelines.values()),
        "months": months,
        "stalled": [
            {**each, "label": _label(labels, each["pipeline"], each["stage"])}
            for each in figures["stalled"]
        ],
        "figures": figures,
    }


def _label(labels: Mapping[str, Any], pipeline: str | None, stage: str | None) -> str:
    found: str = labels.get(pipeline or "", {}).get("stages", {}).get(stage, stage or _NONE)
    return found


def _place(order: Sequence[str], stage: str) -> int:
    return order.index(stage) if stage in order else len(order)


def _scale(things: Sequence[dict[str, Any]], what: str, as_: str) -> None:
    most = max((each[what] or 0 for each in things), default=0)
    for each in things:
        each[as_] = _part(each[what] or 0, most)


def _part(value: Any, most: Any) -> float:
    """Return a part of the most in percent, as drawings take it."""
    return round(float(100 * value / most), 1) if most else 0.0
