"""A folder of photographs gets the best listed encoder that the machine can run in minutes."""

import http.server
import json
import threading
from functools import partial

import pytest
import torch
from image_folders import make_folder
from timm_models import as_released, peer_of

from helpers.cli.main import main
from helpers.data import load
from helpers.models.weights import hub, registry
from helpers.models.weights.checkpoint import load_encoder
from helpers.models.weights.choose import Choice, encoder_choices
from helpers.settings import Settings
from helpers.training import best
from helpers.training.find import chosen_encoder

SMALL, SIZE = "byol-slim-imagenette", "about 88 MB"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Splits and settings of a folder of coloured images, with a network, on a fast machine."""
    for variable in ("OFFLINE", "WEIGHTS"):
        monkeypatch.delenv(f"FEWLABELS_{variable}", raising=False)
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "fetched"))
    monkeypatch.setattr(best, "has_network", lambda: True)
    monkeypatch.setattr(best, "_seconds_an_image", lambda device: 1e-6)
    monkeypatch.setattr(hub, "WAITS", ())
    folder = make_folder(tmp_path / "birds", classes=("ant", "bee"), each=12)
    chosen = Settings.resolve(preset="quick", dataset=str(folder), run_dir=tmp_path / "runs",
                              device="cpu")
    return load(folder, image_size=chosen.image_size, data_dir=tmp_path / "data"), chosen


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that has the files of both DINOv2 encoders, one block deep, and the list for it."""
    (tmp_path / "served").mkdir()
    table = json.loads(registry.MANIFEST.read_text())
    handler = partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        for name in best.BEST:
            file = table[name]["file"]
            torch.save(as_released(peer_of("dinov2-vits14", 70, depth=1)),
                       tmp_path / "served" / file)
            table[name]["sources"] = [{"url": f"http://127.0.0.1:{running.server_port}/{file}"}]
        listed = tmp_path / "manifest.json"
        listed.write_text(json.dumps(table))
        monkeypatch.setattr(registry, "MANIFEST", listed)
        yield running
        running.shutdown()


@pytest.mark.parametrize("use", ["features", "fine-tuning"])
def test_a_fast_machine_with_a_network_gets_the_best_and_is_told(use, photographs, server, capsys):
    encoder, name = chosen_encoder(Choice("auto"), *photographs, use=use)
    said = capsys.readouterr().out
    assert name == "dinov2-vitb14" and encoder.num_features == 384 and not encoder.training
    assert "dinov2-vitb14 is taken, the best of the list" in said and "about 346 MB" in said
    assert "images are resized from 48 to 224 pixels" in said
    assert encoder(torch.zeros(1, 3, 48, 48)).shape == (1, 384)


def test_a_slower_machine_gets_a_smaller_one(photographs, server, monkeypatch):
    monkeypatch.setattr(best, "_seconds_an_image", lambda device: 100 / (2 * 24))
    assert chosen_encoder(Choice("auto"), *photographs, use="features")[1] == "dinov2-vits14"


def test_fine_tuning_counts_every_step_and_the_way_back(photographs, server, monkeypatch, capsys):
    monkeypatch.setattr(best, "_seconds_an_image", lambda device: 100 / (2 * 24))
    assert chosen_encoder(Choice("auto"), *photographs, use="fine-tuning")[1] == SMALL
    assert "dinov2-vits14 would take about" in capsys.readouterr().out


@pytest.mark.parametrize("use", ["features", "fine-tuning"])
def test_without_a_network_the_small_one_is_taken_and_it_is_said_why(use, photographs, server,
                                                                    monkeypatch, capsys):
    monkeypatch.setattr(best, "has_network", lambda: False)
    assert chosen_encoder(Choice("auto"), *photographs, use=use)[1] == SMALL
    said = capsys.readouterr().out
    assert "is not on this disk, and there is no network" in said
    assert f"the released encoder {SMALL} is taken" in said


def test_what_was_fetched_before_needs_no_network(photographs, server, monkeypatch):
    hub.fetch("dinov2-vitb14")
    monkeypatch.setattr(best, "has_network", lambda: False)
    assert chosen_encoder(Choice("auto"), *photographs, use="features")[1] == "dinov2-vitb14"


def test_a_server_that_refuses_means_the_small_one_and_is_said(photographs, server, tmp_path,
                                                              capsys):
    for file in (tmp_path / "served").iterdir():
        file.unlink()
    assert chosen_encoder(Choice("auto"), *photographs, use="features")[1] == SMALL
    assert "dinov2-vitb14 cannot be fetched (127.0.0.1" in capsys.readouterr().out


def test_train_takes_the_best_for_a_folder_where_none_is_named(photographs, server, tmp_path,
                                                               monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    kept = tmp_path / "kept.safetensors"
    assert main(["train", photographs[1].dataset, "--out", str(kept), "--device", "cpu"]) == 0
    assert "train: dinov2-vitb14 is taken" in capsys.readouterr().out
    encoder = load_encoder(kept)
    assert encoder.num_features == 384 and encoder.config["image_size"] == 224


def test_photos_to_be_labelled_are_looked_at_by_the_best_or_by_what_is_named(photographs, server,
                                                                            capsys):
    chosen = photographs[1]
    assert best.photo_encoder("auto", chosen.dataset, chosen).num_features == 384
    assert "your photos: dinov2-vitb14 is taken" in capsys.readouterr().out
    small = best.photo_encoder(SMALL, chosen.dataset, chosen)
    assert small.config["image_size"] == 48 and not small.training
    in_a_smoke_run = best.photo_encoder("auto", chosen.dataset, chosen.replace(preset="smoke"))
    assert in_a_smoke_run.config == small.config and capsys.readouterr().out == ""


def test_named_datasets_and_other_notebooks_keep_the_small_one(photographs, server):
    splits, chosen = photographs
    named = chosen.replace(dataset="imagenette")
    assert chosen_encoder(Choice("auto"), splits, named, use="features")[1] == SMALL
    assert chosen_encoder(Choice("auto"), splits, chosen)[1] == SMALL


def test_a_trial_of_speed_uses_up_no_random_number():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert best._seconds_an_image("cpu") > 0
    assert torch.equal(torch.rand(1), expected)


def test_the_question_says_size_and_use_of_what_is_listed():
    choices = encoder_choices()
    assert f"({SIZE}; good for photographs of almost anything" in choices["dinov2-vits14"]
    assert "(of unknown size)" in choices["pytorch-byol-40"]
    assert "(1.2 MB; good for photographs of 32 to 64 pixels" in choices[SMALL]
    assert all(entry.size for entry in registry.entries().values())
