"""Two processes on a CPU (gloo) do what one does, also after one of them was killed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import shared_dino
import torch
from shared_training import STEPS, train

from helpers.common.errors import UserError
from helpers.models.weights.checkpoint import load_encoder
from helpers.training import distributed, shared_batch_norm
from helpers.training.distributed import launched, trainer_options

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "tests" / "shared"


def run(*words, **variables):
    """Run Python with these words; its exit status and what it said."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FEWLABELS_", "SLURM_"))
    }
    done = subprocess.run([sys.executable, *map(str, words)],
                          env={**environment, "OMP_NUM_THREADS": "1", **variables}, cwd=ROOT,
                          capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout + done.stderr


def start(folder, *arguments):
    """Run `shared_training.py` with two processes."""
    return run(SHARED / "shared_training.py", folder, *arguments)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process, and two that a shell started, of which one was killed, and that went on in a
    notebook."""
    alone, together = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    train(alone, 1)
    killed, _ = start(together, "script", 9)  # the last checkpoint is that of step 8
    assert killed != 0 and (together / "last.ckpt").exists()
    assert not list(together.glob("*.pt"))
    finished, said = start(together, "notebook")
    assert finished == 0, said
    one, main, first, second = [torch.load(path, weights_only=True) for path in (
        alone / "main.pt", together / "main.pt", together / "0.pt", together / "1.pt")]
    return SimpleNamespace(one=one, main=main, first=first, second=second)


def test_two_processes_end_with_the_weights_of_one(runs):
    for name, value in runs.one["model"].items():
        assert torch.allclose(value, runs.main["model"][name], rtol=0, atol=1e-8), name


def test_online_and_target_are_the_same_in_every_process(runs):
    for name, value in runs.main["model"].items():
        assert torch.equal(value, runs.first["model"][name]) and torch.equal(
            value, runs.second["model"][name]), name


def test_the_losses_are_those_of_the_whole_batch(runs):
    assert len(runs.main["losses"]) == STEPS
    assert runs.main["losses"] == pytest.approx(runs.one["losses"], abs=1e-6)


def test_the_first_process_watches_for_all(runs):
    assert [row["step"] for row in runs.main["rows"]] == [row["step"] for row in runs.one["rows"]]
    main, one = ({name: value for name, value in each["rows"][-1].items()
                  if name != "images_per_second"} for each in (runs.main, runs.one))
    assert main == pytest.approx(one, rel=1e-4)


def test_every_process_draws_its_own_random_numbers(runs):
    assert not torch.equal(runs.first["draw"], runs.second["draw"])


def test_the_model_gets_its_own_layers_back(runs):
    assert runs.main["kinds"] == runs.one["kinds"] and "SharedBatchNorm" not in runs.one["kinds"]


def test_two_processes_train_dino_as_one_does(tmp_path):
    alone, together = tmp_path / "one", tmp_path / "two"
    shared_dino.train(alone, 1)
    finished, said = run(SHARED / "shared_dino.py", together)
    assert finished == 0, said
    one, two = (torch.load(folder / "main.pt", weights_only=True) for folder in (alone, together))
    assert len(two["losses"]) == shared_dino.STEPS and two["losses"] == pytest.approx(
        one["losses"], abs=1e-5)
    # it has moved, and so the processes had to agree on it
    assert one["model"]["criterion.center"].abs().max() > 0.01
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], rtol=0, atol=1e-7), name


def test_torchrun_starts_the_command_line_once_for_each_process(tmp_path):
    finished, said = run("-m", "torch.distributed.run", "--nproc-per-node", 2, "-m", "helpers",
                         "pretrain", "byol", "--dataset", "digits", "--preset", "smoke", "--device",
                         "cpu", "--out", tmp_path, FEWLABELS_PRETRAIN_STEPS="4")
    assert finished == 0, said
    (path,) = tmp_path.rglob("encoder.safetensors")
    assert said.count(f"{path}: kNN on validation") == 1 and load_encoder(path).meta["steps"] == 4


def test_alone_nothing_is_shared():
    options = trainer_options("cpu", 1, 1, 7)
    assert options.keys() == {"devices", "plugins"} and options["devices"] == 1
    assert [type(plugin).__name__ for plugin in options["plugins"]] == ["LightningEnvironment"]
    assert distributed.rank_and_world() == (0, 1)
    assert distributed.from_all("a") == ["a"]
    assert distributed.mean_of_all(torch.tensor([2.0])).item() == 2.0


def test_a_batch_that_cannot_be_shared_is_one_line():
    with pytest.raises(
            UserError,
            match="a batch of 65 cannot be shared evenly by 4 processes: choose 64 or 68"):
        trainer_options("cpu", 2, 2, 65)
    with pytest.raises(UserError, match="0 devices"):
        trainer_options("cpu", 0, 1, 64)


def test_more_gpus_than_there_are_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 devices were asked for and this machine has 1"):
        trainer_options("cuda", 2, 1, 64)


def test_notebooks_fork_and_scripts_start_processes(monkeypatch):
    assert trainer_options("cpu", 2, 1, 64)["strategy"] == "ddp"
    monkeypatch.setattr(distributed, "in_notebook", lambda: True)
    assert trainer_options("cpu", 2, 1, 64)["strategy"] == "ddp_notebook"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(UserError, match="restart the kernel"):
        trainer_options("cpu", 2, 1, 64)


def test_torchrun_says_how_many_processes_there_are(monkeypatch):
    assert launched(3, 1) == (3, 1)
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4",
                        "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert launched(1, 1) == (4, 2)


@pytest.mark.parametrize("affine", [True, False])
def test_shared_batch_norm_is_batch_norm(monkeypatch, affine):
    """One process's sum is the sum of all: then it must equal torch's own layer, its gradients
    included."""
    monkeypatch.setattr(shared_batch_norm, "all_reduce", lambda x: x)
    torch.manual_seed(0)
    x = torch.randn(6, 3, 5, 5, dtype=torch.double)
    peer = torch.nn.BatchNorm2d(3, affine=affine).double()
    ours = torch.nn.BatchNorm2d(3, affine=affine).double()
    sync = shared_batch_norm.SharedStatistics()
    sync.apply(ours)
    results = []
    for layer in (peer, ours):
        inputs = x.clone().requires_grad_()
        out = layer(inputs)
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
        results.append((out, inputs.grad, layer.running_mean, layer.running_var))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*results, strict=True))
    assert torch.allclose(peer.eval()(x), ours.eval()(x), atol=1e-12)
    sync.revert(ours)
    assert type(ours) is torch.nn.BatchNorm2d
