"""A page of deals takes a short way through the code, goes out at once, and no call leads back."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from harness.singer import config_for, signals_kept
from hubspot_client.wire import Answer
from hubspot_simulator import Portal
from tap_hubspot_deals.reading.legs import Step
from tap_hubspot_deals.reading.objects import CrmObject, ObjectPage
from tap_hubspot_deals.reading.pages import Group, LinkedPage
from tap_hubspot_deals.sdk import SingerStream
from tap_hubspot_deals.streams.outgoing import LinkRecord, OutgoingPage
from tap_hubspot_deals.tap import TapHubspotDeals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from hubspot_simulator import Simulator

    Serve = Callable[..., Simulator]

OURS = {"hubspot_client", "tap_hubspot_deals"}
TOP = "tap_hubspot_deals.streams.objects"
"""What asks for pages; below it there is only what starts the run."""

PAGES = (Answer, ObjectPage, CrmObject, Step, Group, LinkedPage, OutgoingPage, LinkRecord)
"""What a page is on its way."""


def module_of(frame: FrameType) -> str:
    """The name of a frame's module; empty where it is none of ours."""
    name = str(frame.f_globals.get("__name__", ""))
    return name if name.split(".", maxsplit=1)[0] in OURS else ""


def is_page(value: Any) -> bool:
    """Whether a value is a page, or a part of one."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return isinstance(first, PAGES)


class Path:
    """Through which modules pages pass, and which calls came back to a module."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.back: set[str] = set()

    def follow(self, frame: FrameType, event: str, value: Any) -> None:
        """Take a call or its end in, as `sys.setprofile` tells them."""
        if event not in {"call", "return"} or not (name := module_of(frame)):
            return
        if is_page(value) or (event == "call" and any(map(is_page, frame.f_locals.values()))):
            self.modules.add(name)
        if event == "call":
            way = list(way_to(frame))
            if len(set(way)) < len(way):
                self.back.add(" > ".join(reversed(way)))


def way_to(frame: FrameType) -> Iterator[str]:
    """The modules of ours from a call up to what asked for the page, or to its thread's begin.

    None where nothing asked for a page yet: then the run only begins.
    """
    names: list[str] = []
    at: FrameType | None = frame
    while at is not None:
        if (name := module_of(at)) and names[-1:] != [name]:
            names.append(name)
        at = at.f_back
    if TOP in names:
        yield from names[: len(names) - names[::-1].index(TOP)]
    elif threading.current_thread() is not threading.main_thread():
        yield from names


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nest_properties": True, "include_raw": True},
        {"stream_maps": {"deals": {"title": "dealname"}}},
        {"history": ["dealstage"]},
    ],
    ids=lambda settings: ", ".join(settings) or "plain",
)
def test_a_page_passes_few_modules_and_no_call_goes_back(
    serve: Serve, capfd: pytest.CaptureFixture[str], settings: dict[str, Any]
) -> None:
    hubspot = serve(Portal.generate(300, custom_properties=1))
    path = Path()
    with signals_kept():
        tap = TapHubspotDeals(config=config_for(hubspot, **settings))
        threading.setprofile(path.follow)
        sys.setprofile(path.follow)
        try:
            tap.streams["deals"].sync()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            tap.finish()
    assert capfd.readouterr().out.count("RECORD") > 300
    assert path.back == set()
    assert {"tap_hubspot_deals.reading.walks", "hubspot_client.wire"} < path.modules
    of_histories = {name for name in path.modules if "histor" in name}
    assert bool(of_histories) == ("history" in settings)
    assert len(path.modules - of_histories) <= 15, sorted(path.modules)


def test_a_page_goes_out_before_the_next_one_is_made(serve: Serve) -> None:
    hubspot = serve(Portal.generate(600))
    alive = []
    gc.collect()  # what other tests left
    with signals_kept():
        tap = TapHubspotDeals(config=config_for(hubspot))
        deals = tap.streams["deals"]
        assert isinstance(deals, SingerStream)
        for number, _ in enumerate(deals.read_and_write(write=False)):
            if number % 100 == 0:
                alive.append(sum(type(each) is OutgoingPage for each in gc.get_objects()))
        tap.finish()
    assert alive == [1] * 6


def test_the_command_line_imports_without_the_collector_and_leaves_it_on() -> None:
    code = (
        "import gc; runs = []; gc.callbacks.append(lambda phase, info: runs.append(phase))\n"
        "from tap_hubspot_deals.__main__ import main; during = len(runs)\n"
        "print(callable(main), during < 50, gc.isenabled(), gc.get_freeze_count() > 50_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 4
