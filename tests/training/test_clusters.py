"""What a cluster sets in the environment, met by a training that is one by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = dict(SLURM_JOB_ID="7", SLURM_NODEID="0", SLURM_JOB_NAME="train", SLURM_NODELIST="node1",
           SLURM_JOB_NUM_NODES="1", SLURM_NTASKS="4")


@pytest.mark.parametrize("words", [
    dict(JOB, SLURM_PROCID="1", SLURM_LOCALID="1"),
    dict(JOB, SLURM_NTASKS_PER_NODE="4", SLURM_PROCID="0", SLURM_LOCALID="0"),
    dict(RANK="1"), dict(RANK="3", LOCAL_RANK="3", WORLD_SIZE="8")],
    ids=["one of several jobs", "an interactive job", "a rank left behind", "torchrun's words"])
def test_a_training_by_itself_is_no_part_of_a_job(tmp_path, words):
    command = ("pretrain byol --dataset digits --preset smoke --device cpu --batch-size 8 --out "
               f"{tmp_path}").split()
    done = subprocess.run([sys.executable, "-m", "helpers", *command], cwd=ROOT, text=True,
                          env=os.environ | words | {"FEWLABELS_PRETRAIN_STEPS": "2",
                                                    "FEWLABELS_OFFLINE": "1"},
                          capture_output=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "encoder.safetensors: kNN on validation" in done.stdout
    kept = {path.name for path in tmp_path.rglob("*")}
    assert {"encoder.safetensors", "recipe.yaml", "metrics.csv"} <= kept
