"""Python starts without a search for garbage, and ends with the right status and nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.common.environment import ROOT


def run(code):
    """A Python of its own: what it does cannot be undone in this one."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_nobody_looks_for_garbage_during_imports_and_afterwards_as_usual():
    done = run("""
import gc
from helpers.common.startup import nothing_is_garbage
with nothing_is_garbage():
    inside = gc.isenabled()
    kept = [[] for _ in range(1000)]
print(inside, gc.isenabled(), gc.get_freeze_count() > 1000)
gc.disable()
with nothing_is_garbage():
    pass
print(gc.isenabled())""")
    assert done.stdout.split() == ["False", "True", "True", "False"], done.stderr


def test_only_what_the_first_imports_made_is_kept_for_ever():
    done = run("""
import gc, weakref
from helpers.common.startup import nothing_is_garbage

class Network:
    def __init__(self):
        self.own = self

with nothing_is_garbage():
    early = Network()
later = Network()
with nothing_is_garbage():  # a first cell that is run again
    pass
seen = [weakref.ref(early), weakref.ref(later)]
del early, later
gc.collect()
print([each() is None for each in seen])""")
    assert done.stdout.strip() == "[False, True]", done.stderr


@pytest.mark.parametrize(("command", "status"), [
    ("return 0", 0), ("return 3", 3), ("sys.exit(2)", 2), ("sys.exit()", 0),
    ("sys.exit('no such thing')", 1), ("raise ValueError('no such thing')", 1)])
def test_the_status_is_the_commands_and_all_that_was_promised_is_done(command, status):
    done = run(f"""
import atexit, sys, threading, time
from helpers.common.startup import end_with_status_of

def slowly():
    time.sleep(0.3)
    print("a thread's")

def command():
    atexit.register(print, "promised")
    threading.Thread(target=slowly).start()
    print("said")
    {command}

end_with_status_of(command)""")
    assert done.returncode == status
    assert done.stdout.split("\n") == ["said", "a thread's", "promised", ""]
    assert ("no such thing" in done.stderr) == ("no such thing" in command)


def test_a_known_status_ends_python_before_its_objects_are_taken_apart():
    done = run("""
from helpers.common.startup import end_with_status_of

class Heavy:
    def __del__(self):
        print("taken apart")

kept = Heavy()
end_with_status_of(lambda: 4)""")
    assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_output_that_nobody_can_take_is_not_lost_in_silence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "helpers", "run", "--list"], stdout=full,
            stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
