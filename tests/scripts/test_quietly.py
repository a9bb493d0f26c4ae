"""What `make` shows of an installation: little, and all of it where it fails."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "quietly.py"


def run(log, *command):
    return subprocess.run([sys.executable, str(SCRIPT), str(log), *command], capture_output=True,
                          text=True)


def test_the_output_goes_to_the_file_and_the_status_is_the_commands(tmp_path):
    log = tmp_path / "new" / "log.txt"
    done = run(log, sys.executable, "-c", "for n in range(100): print('Collecting', n)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(log.read_text().splitlines()) == 100


def test_a_failure_shows_its_last_words_and_names_the_file(tmp_path):
    code = "import sys; [print('line', n) for n in range(100)]; sys.exit(3)"
    done = run(tmp_path / "log.txt", sys.executable, "-c", code)
    lines = done.stderr.splitlines()
    assert done.returncode == 3 and len(lines) == 16
    assert lines[-2] == "line 99" and str(tmp_path / "log.txt") in lines[-1]


def test_a_command_that_is_not_there_is_one_line(tmp_path):
    done = run(tmp_path / "log.txt", os.fspath(tmp_path / "none"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_sign_of_life_counts_the_packages(tmp_path):
    code = (f"import sys, pathlib; sys.path[:0] = [{str(SCRIPT.parent)!r}]; import quietly; "
            "quietly.SELDOM = 0.2; "
            "quietly.quietly(pathlib.Path('log.txt'), [sys.executable, '-c', "
            "\"import time; print(' + torch==2', flush=True); time.sleep(1)\"])")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True,
                          text=True)
    assert "0:00, 1 packages so far" in done.stderr or "0:01, 1 packages so far" in done.stderr
