"""Run a command and write down what it took: `meter.py FILE COMMAND...`, a process of a few MB.

A process counts as its own peak the memory that its parent had when it forked. So whoever measures
memory has to start from a small process, and this one imports next to nothing.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    figures, *command = sys.argv[1:]
    began = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)  # its children's too, which it waited for
    cost = {
        "wall": time.monotonic() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
    }
    with open(figures, "w") as file:  # noqa: PTH123 - pathlib is an import
        json.dump(cost, file)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)
