"""Knows how a process that forked becomes a program, and how its asyncio starts others so.

What is forked from a process that has imported a program need not import it again. Such programs
are the console scripts of this very environment; any other command is executed as ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from scan_service.engine import stand_in
from scan_service.engine.privacy import keep_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Scripts = Mapping[str, EntryPoint]

_PR_SET_PDEATHSIG = 1
_STANDARD = 3  # input, output and errors
_ARGUMENTS = slice(45, 47)  # of /proc/self/stat after the name: where the command line begins, ends


def load(names: Sequence[str]) -> dict[str, EntryPoint]:
    """Import the modules of console scripts of this environment, and others; return the scripts.

    What they do to logging at that is undone: each program sets up its own, and knows its
    environment then. One that cannot be imported is left out: it says why itself when it is
    executed. Only Linux has what is needed to end forked programs reliably; elsewhere nothing is
    loaded.

    Args:
        names: of scripts, and of modules that scripts import only while they run.
    """
    scripts: dict[str, EntryPoint] = {}
    if sys.platform == "linux":
        for name in names:
            found = entry_points(group="console_scripts", name=name)
            with contextlib.suppress(Exception), _unchanged_logging():
                for script in found:
                    import_module(script.module)
                    scripts[name] = script
                if not found:
                    import_module(name)
    return scripts


@contextlib.contextmanager
def _unchanged_logging() -> Iterator[None]:
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in root.manager.loggerDict}
    level, handlers = root.level, [*root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)


@dataclass(frozen=True)
class Program:
    """What a process is to be.

    Attributes:
        words: the command.
        environment: all of its environment.
        folder: of its run, for those who look for its processes.
        scripts: what need not be executed.
        parent: the process that forked it, and whose end is its own.
        starts: the descriptor by which it asks for further programs, if it may.
    """

    words: list[str]
    environment: dict[str, str]
    folder: str
    scripts: Scripts
    parent: int
    starts: int = -1

    def become(self) -> int:
        """Be it; return its exit code, or raise what it raises."""
        end_with(self.parent)
        for number in (*stand_in.FORWARDED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        script = self.scripts.get(own(self.words[0]))
        if script is None:
            os.execve(self.words[0], self.words, self.environment)  # noqa: S606 - the service's own
        close_all_but(self.starts)
        call_it(os.path.basename(self.words[0]), self.folder)  # noqa: PTH119
        keep_private()
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = self.words
        if self.starts >= 0:
            self._start_others_so()
        code = script.load()()
        return code if isinstance(code, int) else 0

    def _start_others_so(self) -> None:
        """Have asyncio start programs of this environment by a stand-in (see `stand_in.py`)."""
        execute = asyncio.create_subprocess_exec

        async def start(
            program: str | os.PathLike[str], *words: str | os.PathLike[str], **options: Any
        ) -> asyncio.subprocess.Process:
            if own(os.fspath(program)) not in self.scripts:
                return await execute(program, *words, **options)
            environment = options.pop("env", None)
            request = ask(
                words=[os.fspath(word) for word in (program, *words)],
                environment=dict(os.environ if environment is None else environment),
                folder=os.fspath(options.pop("cwd", None) or os.getcwd()),  # noqa: PTH109
            )
            try:
                return await execute(
                    sys.executable, "-IS", stand_in.__file__, str(self.starts), str(request),
                    self.folder,
                    env={}, pass_fds=(self.starts, request), **options,
                )  # fmt: skip
            finally:
                os.close(request)

        setattr(asyncio, execute.__name__, start)


def ask(*, words: list[str], environment: dict[str, str], folder: str) -> int:
    """Return a descriptor of memory that says what is to be started; no file holds its secrets."""
    request = os.memfd_create("program")
    text = json.dumps({"words": words, "environment": environment, "folder": folder})
    with os.fdopen(os.dup(request), "w") as file:
        file.write(text)
    return request


def asked(request: int, scripts: Scripts, *, folder: str, parent: int) -> Program:
    """Return what `ask` said, in the process that is to become it."""
    os.lseek(request, 0, os.SEEK_SET)
    with os.fdopen(request) as file:
        said = json.load(file)
    os.chdir(said["folder"])
    return Program(said["words"], said["environment"], folder, scripts, parent)


def own(program: str) -> str:
    """Return the name of a console script of this environment, or nothing."""
    folder, name = os.path.split(program)
    here = os.path.dirname(sys.executable)  # noqa: PTH120 - resolving would leave the venv
    return name if folder and os.path.realpath(folder) == os.path.realpath(here) else ""


def end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def close_all_but(*kept: int) -> None:
    """Close what a forked process inherited, and no program would have."""
    first = _STANDARD
    for each in (*sorted(each for each in kept if each >= 0), os.sysconf("SC_OPEN_MAX")):
        os.closerange(first, each)
        first = each + 1


def call_it(*words: str) -> None:
    """Show other words as this process's command line, as far as there is room for them."""
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/stat", encoding="ascii") as stat:  # noqa: PTH123
            begin, end = map(int, stat.read().rpartition(")")[2].split()[_ARGUMENTS])
        text = b"\0".join(os.fsencode(word) for word in words)[: end - begin - 1]
        ctypes.memset(begin, 0, end - begin)
        ctypes.memmove(begin, text, len(text))
