"""Run folders that the first release wrote are found, read back and gone on with.

`old_runs/` holds trainings of twelve steps of a narrow encoder, and the same after five of them;
`last.kept` is their `last.ckpt`. Their heads are narrower than usual, to keep the files small.
"""

import shutil
from pathlib import Path

import pytest
import torch

from helpers.data.loading import load
from helpers.methods.presets import recipe_for
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import load_encoder
from helpers.settings import Settings
from helpers.training import pretraining
from helpers.training.checkpoints import Saver
from helpers.training.runs import Run

OLD = Path(__file__).parent / "old_runs"
THEN = {"byol": dict(hidden_dim=32, projection_dim=16, ema=0.98),
         "dino": dict(hidden_dim=32, bottleneck_dim=16, output_dim=64)}
METHODS = list(THEN)


@pytest.fixture(scope="module")
def splits():
    return load("digits")


def settings_in(folder):
    return Settings.resolve(preset="smoke", dataset="digits", device="cpu", seed=0,
                            pretrain_steps=12, dino_steps=12, run_dir=folder)


def recipe_of(method, settings):
    """The views of then had noise, and the target of BYOL moved more slowly."""
    return recipe_for(method, settings).replace(**THEN[method], views=dict(noise=0.1))


@pytest.fixture
def train(splits, tmp_path):
    """Asks for the run of old in a folder where it is `interrupted` or `finished`."""
    def asked(method, state):
        shutil.copytree(OLD / state, tmp_path, dirs_exist_ok=True)
        for kept in tmp_path.rglob("last.kept"):
            kept.rename(kept.with_name("last.ckpt"))
        settings = settings_in(tmp_path)
        torch.manual_seed(0)
        encoder = build("slim", channels=1, image_size=16, width=8)
        return pretraining.pretrain(splits, settings, recipe_of(method, settings), encoder=encoder,
                                    start="narrow")

    return asked


def kept_weights(method):
    (path,) = OLD.glob(f"finished/*/{method}-*/encoder.safetensors")
    return load_encoder(path).state_dict()


def same(encoder, weights):
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_recipe_of_then_leads_to_the_folder_of_old(method):
    settings = settings_in(OLD / "finished")
    folder = Run(recipe_of(method, settings), settings, "narrow").folder
    assert (folder / "encoder.safetensors").exists()


@pytest.mark.parametrize("method", METHODS)
def test_clean_views_lead_to_another_folder_than_the_noisy_ones_of_old(method):
    settings = settings_in(OLD / "finished")
    clean = recipe_of(method, settings).replace(views=None)
    assert not Run(clean, settings, "narrow").folder.exists()


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_goes_on_to_the_weights_it_would_have_had(method, train, capsys):
    run = train(method, "interrupted")
    assert len(run.losses) == 12 and run.monitor[-1]["step"] == 12
    same(run.encoder, kept_weights(method))


@pytest.mark.parametrize("method", METHODS)
def test_it_went_on_and_did_not_begin_anew(method, train, monkeypatch):
    steps = []
    plain = Saver.on_train_batch_end
    monkeypatch.setattr(Saver, "on_train_batch_end", lambda self, trainer, *rest: (
        steps.append(trainer.global_step), plain(self, trainer, *rest)))
    train(method, "interrupted")
    assert steps == list(range(6, 13))


@pytest.mark.parametrize("method", METHODS)
def test_a_finished_run_is_read_back(method, train):
    run = train(method, "finished")
    assert len(run.losses) == 12
    same(run.encoder, kept_weights(method))
