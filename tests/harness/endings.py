"""Odd inputs that every plugin is tried with, and how each of them has to end.

Each case runs as a process of its own. They are forked from one that has imported the plugins, so
that a case costs little more than what the plugin does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LOGGING = """
version: 1
disable_existing_loggers: false
formatters: {json: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {err: {class: logging.StreamHandler, formatter: json, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [err]}
"""
SECRET = 4711081547110815
"""What stands where a secret text should; no log may show it."""


@dataclass(frozen=True)
class Plugin:
    """A plugin with settings with which it runs well.

    Attributes:
        name: As its program is called.
        main: What the program runs: `module:function`.
        config: The settings.
        secret: The name of one that is a secret.
        stream: A stream that it reads, or that its input has.
        field: A field that a stream map may give it.
        content: Its input.
        failing: The code of a record that a stream map fails on.
    """

    name: str
    main: str
    config: dict[str, Any]
    secret: str
    stream: str
    field: str = "x"
    content: bytes = b""
    failing: str = "stream_map_failed"

    @property
    def prefix(self) -> str:
        """What the names of its variables begin with."""
        return self.name.upper().replace("-", "_") + "_"

    @property
    def is_tap(self) -> bool:
        """Whether it reads a source."""
        return self.name.startswith("tap-")


class Case(NamedTuple):
    """An odd input.

    Attributes:
        settings: What takes the place of good ones.
        code: How it ends; empty: well.
        status: The exit code.
        words: What the command line has besides.
        environment: Variables.
    """

    settings: dict[str, Any]
    code: str
    status: int = 1
    words: tuple[str, ...] = ()
    environment: dict[str, str] | None = None


@dataclass(frozen=True)
class Ended:
    """What a case left."""

    case: Case
    status: int
    log: str

    @property
    def is_due(self) -> bool:
        """Whether it ended as it had to."""
        due = [(self.case.code, False)] if self.case.code else []
        return (
            [(code, again) for code, again, _ in told(self.log)] == due
            and self.status == (self.case.status if due else 0)
            and "Traceback" not in self.log
            and str(SECRET) not in self.log
        )


def told(log: str) -> list[tuple[str, bool, str]]:
    """Each record of level ERROR in a structured log: code, whether to try again, sentence."""
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    errors = [event for event in events if event["level"].upper() in {"ERROR", "CRITICAL"}]
    extras = [event.get("extra") or {} for event in errors]
    return [
        (extra.get("code", ""), extra.get("retryable", False), error["message"])
        for extra, error in zip(extras, errors, strict=True)
    ]


ODD_SHAPES: dict[str, Any] = {
    "else of another word": {"__else__": "odd"},
    "else that is an object": {"__else__": {}},
    "else that is a number": {"__else__": 1},
    "a stream that is a number": {"STREAM": 1},
    "a stream that is a word": {"STREAM": "odd"},
    "else of a stream": {"STREAM": {"__else__": ["a"]}},
    "a field that is a number": {"STREAM": {"x": 1}},
    "an empty expression": {"STREAM": {"x": " "}},
    "key that is no list": {"STREAM": {"__key_properties__": "id"}},
    "a filter that is a number": {"STREAM": {"__filter__": 1}},
    "an unknown word": {"__odd__": {}},
}
UNREADABLE: dict[str, Any] = {
    "an expression that is none": {"STREAM": {"x": "nonsense("}},
    "a filter that is none": {"STREAM": {"__filter__": "=="}},
    "an expression nested too deeply": {"STREAM": {"x": "-" * 20_000 + "1"}},
    "an alias that fails": {"STREAM": {"__alias__": "1 / 0"}},
    "an alias that is a number": {"STREAM": {"__alias__": "1"}},
    "a source that is none": {"other": {"__source__": None}},
    "a key that is not there": {"STREAM": {"__key_properties__": ["ghost"]}},
}
FAILING: dict[str, Any] = {
    "a division by zero": {"STREAM": {"FIELD": "1 / 0"}},
    "a text that is no number": {"STREAM": {"FIELD": "int('a')"}},
    "a moment that is none": {"STREAM": {"FIELD": "datetime.datetime.fromtimestamp(-1e15)"}},
    "a filter without its name": {"STREAM": {"__filter__": "ghost"}},
    "an expression too long": {"STREAM": {"FIELD": "1" + " + 1" * 700}},
}


def cases(plugin: Plugin, folder: Path) -> dict[str, Case]:
    """All cases of a plugin by name.

    Args:
        plugin: The plugin.
        folder: Where files of cases go.
    """
    listed, latin, missing = (folder / name for name in ("list", "latin", "missing"))
    listed.write_text("[1]")
    latin.write_bytes(b'{"a": "\xe9"}')
    found = {
        "maps that are null": Case({"stream_maps": None}, ""),
        "maps that are a word": Case({"stream_maps": "odd"}, "settings_invalid"),
        "maps that are a list": Case({"stream_maps": ["odd"]}, "settings_invalid"),
        "flattening without a depth": Case({"flattening_enabled": True}, "settings_invalid"),
        "a depth that is a word": Case({"flattening_max_depth": "odd"}, "settings_invalid"),
        "a secret that is a number": Case({plugin.secret: SECRET}, "settings_invalid"),
        "a secret that is a list": Case({plugin.secret: [SECRET]}, "settings_invalid"),
    }
    for table, code in ((ODD_SHAPES, ""), (UNREADABLE, ""), (FAILING, plugin.failing)):
        for name, maps in table.items():
            told = json.dumps(maps).replace("STREAM", plugin.stream).replace("FIELD", plugin.field)
            found[name] = Case({"stream_maps": json.loads(told)}, code or "stream_map_failed")
    of_files = [("--config", 1, missing), ("--config", 1, listed), ("--config", 1, latin)]
    if plugin.is_tap:
        for option in ("--state", "--catalog"):
            of_files += [(option, 2, missing), (option, 1, listed), (option, 1, latin)]
    else:
        of_files += [("--input", 2, missing)]
    for option, status, file in of_files:
        code = "state_invalid" if option == "--state" else "settings_invalid"
        found[f"{option} {file.name}"] = Case({}, code, status, (option, str(file)))
    found["--nonsense"] = Case({}, "settings_invalid", 2, ("--nonsense",))
    variables = {
        "STREAM_MAPS": "odd",
        "STREAM_MAP_CONFIG": '{"odd',
        "FLATTENING_ENABLED": "odd",
        "FLATTENING_MAX_DEPTH": "odd",
    }
    for variable, text in variables.items():
        environment = {plugin.prefix + variable: text}
        found[f"{variable}={text}"] = Case(
            {}, "settings_invalid", 1, ("--config=ENV",), environment
        )
    return found


def tried(plugin: Plugin, odd: dict[str, Case], folder: Path) -> dict[str, Ended]:
    """Run cases, each as a process; what each of them left, by name.

    Args:
        plugin: The plugin.
        odd: The cases.
        folder: A new one, for what the processes read and write.
    """
    (folder / "logging.yml").write_text(LOGGING)
    (folder / "input").write_bytes(plugin.content)
    orders = []
    for number, case in enumerate(odd.values()):
        config = folder / f"{number}.json"
        config.write_text(json.dumps({**plugin.config, **case.settings}))
        variables = {"SINGER_SDK_LOG_CONFIG": str(folder / "logging.yml")} | (
            case.environment or {}
        )
        words = [plugin.name, "--config", str(config), *case.words]
        orders.append({"words": words, "environment": variables, "name": str(number)})
    (folder / "orders.json").write_text(json.dumps(orders))
    done = subprocess.run(
        [sys.executable, "-m", "harness.endings", plugin.main, str(folder)],
        stdout=subprocess.PIPE,
        check=True,
    )
    statuses = json.loads(done.stdout)
    return {
        name: Ended(case, statuses[number], (folder / f"{number}.log").read_text())
        for number, (name, case) in enumerate(odd.items())
    }


def wrong(plugin: Plugin, odd: dict[str, Case], folder: Path) -> dict[str, Ended]:
    """Try cases; those that did not end as they have to, by name.

    Each has to be told once, with its code and without its secret, and to exit with its status.
    """
    return {name: each for name, each in tried(plugin, odd, folder).items() if not each.is_due}


def holds_signals(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has begun to let signals wait."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
    return bool(blocked >> (signal.SIGTERM - 1) & 1)


def interrupt_at_once(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a process a signal as soon as it lets signals wait, before all is imported."""
    while not holds_signals(process):
        assert process.poll() is None
    process.send_signal(number)


def full_disk() -> None:
    """What a process does first that finds no room for more than a hundred bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def close_output() -> None:
    """What a process does first whose standard output is closed."""
    os.close(1)


def main(arguments: Sequence[str]) -> int:
    """Import a plugin, and fork a process for each order of a folder; their statuses go out."""
    module, _, name = arguments[0].partition(":")
    run = attrgetter(name)(import_module(module))
    folder = Path(arguments[1])
    statuses = []
    for order in json.loads((folder / "orders.json").read_text()):
        if not (child := os.fork()):
            _become(order, folder)
            _end(run)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))
    return 0


def _become(order: dict[str, Any], folder: Path) -> None:
    name, writing = order["name"], os.O_WRONLY | os.O_CREAT
    files = (("input", os.O_RDONLY), (f"{name}.out", writing), (f"{name}.log", writing))
    for number, (file, how) in enumerate(files):
        os.dup2(os.open(folder / file, how, 0o600), number)
    os.environ.update(order["environment"])
    sys.argv = order["words"]


def _end(run: Any) -> None:
    status: Any = 99
    try:
        status = run()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as Python would, had it not been forked
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
