"""`train --protocol finetune`, killed at random moments and gone on with."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import torch
from shapes import shapes

from helpers.models.classifier_file import load_classifier

ROOT = Path(__file__).parents[2]
# A child for each attempt, so that the packages are imported once; it saves after every step.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from helpers.cli.main import main
from helpers.training import trainer

Saver = trainer.Saver
trainer.Saver = lambda folder, minutes, epoch, keep: Saver(folder, 0, epoch, keep)

def stamps(place):
    found = place.glob("*/finetune-*/last.ckpt")
    return [path.stat().st_mtime_ns for path in found]

def attempt(place, delay):
    before, deadline = stamps(place), time.monotonic() + 60
    child = os.fork()
    if child == 0:
        os._exit(main(["train", "photos", "--protocol", "finetune", "--resume", "--run-dir",
                       str(place), "--out", f"{{place}}.safetensors"]))
    if delay is not None:
        while stamps(place) in ([], before) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    print(place, os.waitpid(child, 0)[1])

for delay in {delays!r}:
    attempt(Path("killed"), delay)
attempt(Path("killed"), None)
attempt(Path("whole"), None)
"""


def kill_and_resume(place, delays):
    """What became of each attempt, and the classifiers of a killed and of a whole training."""
    shapes(place / "photos")
    script = SCRIPT.format(root=str(ROOT), delays=delays)
    known = {name: value for name, value in os.environ.items() if not name.startswith("FEWLABELS_")}
    wanted = dict(FEWLABELS_PRESET="smoke", FEWLABELS_DEVICE="cpu", FEWLABELS_BATCH_SIZE="16",
                  FEWLABELS_FINETUNE_STEPS="30", FEWLABELS_DATA_DIR=str(place / "data"))
    done = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True,
                          env={**known, **wanted, "OMP_NUM_THREADS": "1"}, text=True, timeout=600)
    ends = [line for line in done.stdout.splitlines() if line.startswith(("killed ", "whole "))]
    assert ends[-2:] == ["killed 0", "whole 0"], done.stderr
    return ends, *(load_classifier(place / f"{name}.safetensors") for name in ("killed", "whole"))


def test_the_same_classifier_comes_out_bit_for_bit(tmp_path):
    delays = [random.uniform(0, 0.1) for _ in range(4)]  # seconds after a save
    ends, killed, whole = kill_and_resume(tmp_path, delays)
    assert ends.count(f"killed {int(signal.SIGKILL)}") >= 2, ends
    weights = whole.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in killed.state_dict().items())
    assert torch.equal(killed.seen.features, whole.seen.features), delays
    assert killed.facts == whole.facts and killed.temperature == whole.temperature
