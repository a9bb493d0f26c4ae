"""`python -m helpers COMMAND`: see `helpers/cli/main.py`.

Any Python may be asked, for that is what a shell finds first: one without the packages goes on with
the environment that `make run` made, and one that is too old says so.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(ROOT, ".venv")


def other_python():
    """The Python of `make run`'s environment, where this one cannot do the work; else None."""
    if sys.version_info >= (3, 11):
        from importlib.util import find_spec

        if find_spec("torch"):
            return None
    inside = os.path.realpath(sys.prefix) == os.path.realpath(ENVIRONMENT)
    place = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = os.path.join(ENVIRONMENT, *place)
    return python if os.path.exists(python) and not inside else None


def go_on_with(python):
    """Do the same command with another Python; returns its exit status, if it returns at all."""
    sys.stderr.write("this Python lacks the packages: using that of .venv\n")
    sys.stderr.flush()
    command = [python, "-m", "helpers"] + sys.argv[1:]
    if os.name == "nt":  # where a process cannot become another
        return subprocess.call(command)
    return os.execv(python, command)


if __name__ == "__main__":
    python = other_python()
    if python:
        sys.exit(go_on_with(python))
    if sys.version_info < (3, 11):
        sys.stderr.write("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0]
                         + ": start a newer one, or `make run`, which finds one\n")
        sys.exit(2)
    from helpers.cli.main import main
    from helpers.common.startup import end_with_status_of

    end_with_status_of(main)
