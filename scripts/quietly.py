"""Run a command whose output goes to a file, under one line that tells how long it has been at it.

    python scripts/quietly.py LOG COMMAND ...

`make` installs with it, before any package is there: only the standard library is imported.
"""

import subprocess
import sys
import time
from pathlib import Path

SHOWN = 15  # last lines of the output of a command that failed
TICK, SELDOM = 1.0, 30.0  # seconds between two signs of life, in a terminal and in a file


def quietly(log: Path, command: list[str]) -> int:
    """Run `command`; returns its exit status, and shows the end of what it said if it failed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal, began = sys.stderr.isatty(), time.monotonic()
    with open(log, "w", encoding="utf-8") as file:
        try:
            child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        except OSError as error:
            print(f"error: {command[0]} cannot be started ({error.strerror})", file=sys.stderr)
            return 2
        while _waits(child, TICK if terminal else SELDOM):
            seconds = int(time.monotonic() - began)
            line = f"  {seconds // 60}:{seconds % 60:02d}, {_steps(log)} packages so far"
            print(f"\r{line}" if terminal else line, end="" if terminal else "\n",
                  file=sys.stderr, flush=True)
    print("\r\033[K" if terminal else "", end="", file=sys.stderr, flush=True)
    if child.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:]
        print("\n".join([*said, f"error: that failed, all of its output is in {log}"]),
              file=sys.stderr)
    return child.returncode


def _waits(child: subprocess.Popen, seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    except KeyboardInterrupt:
        child.wait()  # Ctrl-C reaches it as well
        raise
    return False


def _steps(log: Path) -> int:
    """How many packages pip or uv has named."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return sum(line.startswith(("Collecting ", "Requirement already", " + "))
               for line in text.splitlines())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__.strip())
    try:
        sys.exit(quietly(Path(sys.argv[1]), sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit("\nstopped by Ctrl-C")
