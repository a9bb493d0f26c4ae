"""Encoders are found where they were made, or made, and it is said which."""

import copy
import dataclasses
import multiprocessing
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from image_folders import make_folder, paint

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time
from helpers.data.loading import load
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import knn_accuracy
from helpers.methods.build import build_method, two_views
from helpers.methods.byol import BYOL
from helpers.methods.presets import NOISE, recipe_for
from helpers.models.encoder import build
from helpers.models.weights import registry as manifest
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.choose import Choice
from helpers.settings import Settings
from helpers.training import find as finding
from helpers.training import monitor as monitors
from helpers.training import runs
from helpers.training.find import chosen_encoder, find_or_pretrain
from helpers.training.pretraining import pretrain
from helpers.training.released import BETTER, BETTER_ON_GPU, FINE, PHOTOGRAPHS, released_name
from helpers.training.runs import Run, fresh_encoder
from helpers.transforms.views import Noisy, normalise


def train(method, splits, settings, **options):
    """Pretraining by the preset's recipe."""
    return pretrain(splits, settings, recipe_for(method, settings), **options)


def run_of(method, settings, *more):
    return Run(recipe_for(method, settings), settings, *more)


@pytest.fixture(scope="module")
def splits():
    return load("digits")


@pytest.fixture
def settings(tmp_path):
    return Settings.resolve(preset="smoke", dataset="digits", run_dir=tmp_path, pretrain_steps=6)


def test_an_encoder_is_made_once_and_then_found(splits, settings, capsys):
    made = find_or_pretrain("byol", splits, settings)
    assert "no encoder" in capsys.readouterr().out
    found = find_or_pretrain("byol", splits, settings)
    assert "the encoder of an earlier run" in capsys.readouterr().out
    for a, b in zip(made.parameters(), found.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not found.training


def test_the_newest_run_is_found_and_names_where_it_started(splits, settings, capsys):
    train("byol", splits, settings)
    other = train("byol", splits, settings,
                     encoder=fresh_encoder(splits, settings.replace(seed=5)), start="mine")
    found, name = chosen_encoder(Choice("train"), splits, settings)
    assert str(other.path) in capsys.readouterr().out and name == "BYOL from mine"
    # the finished run is read back, and so it is the last one looked at
    train("byol", splits, settings)
    assert chosen_encoder(Choice("train"), splits, settings)[1] == "BYOL"


def test_yes_and_no_find_the_encoder_that_began_so(splits, settings, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(settings.run_dir))
    said = {"yes": Choice("pretrained backbone"), "no": Choice("random start")}
    train("byol", splits, settings, encoder=fresh_encoder(splits, settings.replace(seed=5)),
          start="imagenet")
    assert chosen_encoder(said["yes"], splits, settings)[1] == "BYOL from imagenet"
    made = train("byol", splits, settings.replace(pretrain_steps=5)).encoder
    encoder, name = chosen_encoder(said["no"], splits, settings)
    assert name == "BYOL" and torch.equal(encoder.backbone.stem[0].weight,
                                          made.backbone.stem[0].weight)
    elsewhere = settings.replace(run_dir=settings.run_dir / "elsewhere")
    path = save_encoder(build("slim", channels=1, image_size=16, width=8),
                        settings.run_dir / "pretrained_backbone_BYOL_checkpoint.pth")
    assert chosen_encoder(said["yes"], splits, elsewhere)[1] == "self-learner-byol-imagenet"
    path.rename(settings.run_dir / "BYOL_checkpoint.pth")
    assert chosen_encoder(said["no"], splits, elsewhere)[1] == "self-learner-byol"


def test_a_start_for_larger_images_sees_views_as_they_come_and_stays_as_it_was(splits, settings):
    side = splits.image_size
    for size, kept in ((side, None), (2 * side, 2 * side)):
        start = build("slim", channels=splits.channels, image_size=side, input_size=size)
        made = train("byol", splits, settings, encoder=start, start=f"{size}px").encoder
        assert (made.input_size, start.input_size) == (kept, size)


def test_a_start_is_left_as_it_was(splits, settings):
    start = fresh_encoder(splits, settings)
    before = copy.deepcopy(start.state_dict())
    train("byol", splits, settings, encoder=start, start="mine")
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


def test_an_encoder_for_other_images_or_of_another_kind_is_not_taken(splits, settings, capsys):
    made = train("byol", splits, settings).path
    for config in (dict(name="slim", channels=1,
                        image_size=32), dict(name="vit_digits", channels=1, image_size=16)):
        save_encoder(build(**config), settings.checkpoints / "byol-other" / "encoder.safetensors",
                     start="scratch")
        find_or_pretrain("byol", splits, settings)
        assert str(made) in capsys.readouterr().out


def test_a_released_encoder_is_taken_only_if_this_very_run_made_it(splits, settings, tmp_path,
                                                                   monkeypatch, capsys):
    made = train("byol", splits, settings).path
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "weights" / "manifest.json")
    manifest.MANIFEST.write_text("{}")
    manifest.release(made, "byol-toy")
    elsewhere = settings.replace(run_dir=tmp_path / "elsewhere")
    find_or_pretrain("byol", splits, elsewhere)
    assert "the released encoder byol-toy" in capsys.readouterr(
    ).out and not elsewhere.run_dir.exists()
    for other in (elsewhere.replace(pretrain_steps=7), elsewhere.replace(seed=1),
                  elsewhere.replace(preset="quick")):
        assert released_name(run_of("byol", other), 1, 16) == ""
    assert released_name(run_of("noise-byol", elsewhere), 1, 16) == ""


def test_the_repository_has_what_notebook_02_would_train_with_the_digits(splits, tmp_path, capsys):
    settings = Settings.resolve(preset="quick", dataset="digits", device="cpu", run_dir=tmp_path)
    encoder = find_or_pretrain("byol", splits, settings)
    assert "the released encoder byol-slim-digits" in capsys.readouterr().out
    train, val = (extract_features(encoder, part.images) for part in (splits.train, splits.val))
    assert knn_accuracy(train, splits.train.labels, val, splits.val.labels) == pytest.approx(
        encoder.meta["knn_validation"], abs=0.011)  # two of 200 images, on another chip


def test_an_encoder_says_with_which_command_it_was_made(splits, settings):
    meta = load_encoder(train("byol", splits, settings, start="my weights").path).meta
    assert meta["command"] == (
        "python -m helpers pretrain byol --dataset digits --preset smoke --encoder slim "
        "--start 'my weights' --image-size 16 --seed 0 --steps 6")
    assert meta["epochs"] == round(6 * 64 / len(splits.unlabeled))


def test_a_chosen_file_flows_through_with_its_name_and_a_random_twin(splits, settings, tmp_path):
    path = save_encoder(build("slim", channels=3, image_size=32, width=8, normalisation="imagenet"),
                        tmp_path / "my.st")
    encoder, name = chosen_encoder(Choice("file", path=path), splits, settings)
    twin = fresh_encoder(splits, settings, like=encoder)
    assert name == "my.st" and not encoder.training
    assert encoder.num_features == twin.num_features == 32 and twin.config == encoder.config
    assert extract_features(encoder, splits.val.images[:4]).shape == (4, 32)
    assert not torch.equal(next(twin.parameters()), next(encoder.parameters()))


@pytest.fixture
def photographs(tmp_path):
    """Settings and splits of a folder of coloured images of a size that the released encoder
    knows."""
    folder = make_folder(tmp_path / "birds", classes=("ant", "bee"), each=12)
    chosen = Settings.resolve(preset="smoke", dataset=str(folder), run_dir=tmp_path / "runs",
                              pretrain_steps=4)
    return load(folder, image_size=chosen.image_size, data_dir=tmp_path / "data"), chosen


def test_for_photographs_the_usual_encoder_is_the_released_one_with_its_card(photographs, capsys):
    encoder, name = chosen_encoder(Choice("auto"), *photographs)
    said = capsys.readouterr().out
    assert name == PHOTOGRAPHS["byol"] and not encoder.training
    assert f"so the released encoder {name} is taken" in said
    assert f"https://github.com/few-labels/few-labels/blob/main/weights/{name}.md" in said
    assert (ROOT / "weights" / f"{name}.md").exists()
    released = load_encoder(manifest.kept(manifest.entry(name)))
    assert torch.equal(encoder.backbone.stem[0].weight, released.backbone.stem[0].weight)
    assert not photographs[1].checkpoints.exists()


@pytest.mark.parametrize("change", [dict(dataset="imagenette"), dict(encoder="resnet18"),
                                    dict(preset="full")])
@pytest.mark.parametrize("method", ["byol", "noise-byol"])
def test_named_photographs_and_large_networks_get_the_released_one_too(method, change,
                                                                       photographs):
    splits, chosen = photographs
    encoder = find_or_pretrain(method, splits, chosen.replace(**change))
    assert encoder.meta["released"] == PHOTOGRAPHS[method]


def test_another_noise_than_the_usual_is_trained(photographs, capsys):
    splits, chosen = photographs
    find_or_pretrain("noise-byol", splits, chosen.replace(noise_sigma=0.3))
    assert "one is trained now for 6 steps" in capsys.readouterr().out


def test_an_encoder_that_learned_from_the_folder_comes_before_the_released_one(photographs, capsys):
    train("byol", *photographs)
    assert chosen_encoder(Choice("auto"), *photographs)[1] == "BYOL"
    assert "an earlier run" in capsys.readouterr().out


def test_larger_photographs_get_the_encoder_that_sees_them_finer(photographs, capsys):
    splits, chosen = photographs
    larger = load(chosen.dataset, image_size=80, data_dir=chosen.run_dir / "data")
    encoder, name = chosen_encoder(Choice("auto"), larger, chosen.replace(image_size=80))
    assert name == BETTER[FINE["byol"]]
    assert (encoder.name, encoder.input_size) == ("slim_joined", 128)
    assert f"so the released encoder {name} is taken" in capsys.readouterr().out
    own = find_or_pretrain("byol", larger, chosen.replace(image_size=80))  # where methods compete
    assert own.meta["released"] == FINE["byol"] and own.name == "slim_fine"
    on_gpu = run_of("byol", chosen.replace(device="cuda"))
    name = released_name(on_gpu, larger.channels, larger.image_size, any_method=True)
    assert name == BETTER_ON_GPU[FINE["byol"]]
    noisy = find_or_pretrain("noise-byol", larger, chosen.replace(image_size=80))
    assert noisy.meta["released"] == FINE["noise-byol"] and noisy.input_size == 128


@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 24, 24), (1, 96, 96), (3, 200, 200)])
def test_the_released_one_is_not_taken_for_gray_images_or_sizes_it_does_not_know(
        shape, photographs):
    splits, chosen = photographs
    other = dataclasses.replace(splits, unlabeled=torch.zeros(4, *shape, dtype=torch.uint8))
    assert released_name(run_of("byol", chosen), other.channels, other.image_size) == ""


@pytest.mark.parametrize(("preset", "encoder", "steps"), [
    ("smoke", "slim", "24 steps ("), ("quick", "slim", "1,100 steps ("),
    ("gpu", "slim", "10,000 steps ("), ("full", "resnet18", "10,000 steps, a stand-in for 40,000")])
def test_what_is_trained_now_is_no_shorter_than_a_preset_of_minutes(
        splits, tmp_path, monkeypatch, capsys, preset, encoder, steps):
    chosen = Settings.resolve(preset=preset, dataset="digits", run_dir=tmp_path, device="cpu",
                              seed=7)
    monkeypatch.setattr(finding, "pretrain", lambda *_: SimpleNamespace(
        encoder=build(encoder, image_size=16, channels=1)))
    find_or_pretrain("byol", splits, chosen)
    assert f"one is trained now for {steps}" in capsys.readouterr().out


def interrupted(splits, settings, monkeypatch, steps):
    """A run of so many steps that was stopped after three quarters of them; returns its folder."""
    def stop(module, batch, index):
        if module.global_step == steps * 3 // 4:
            raise KeyboardInterrupt
        return plain(module, batch, index)

    plain = BYOL.training_step
    monkeypatch.setattr(BYOL, "training_step", stop)
    monkeypatch.setattr("helpers.training.checkpoints.SELDOM", 0.0)
    recipe = recipe_for("byol", settings).replace(steps=steps)
    with suppress(KeyboardInterrupt, SystemExit):
        pretrain(splits, settings, recipe)
    monkeypatch.setattr(BYOL, "training_step", plain)
    (checkpoint,) = settings.checkpoints.glob("byol-*/last.ckpt")
    return checkpoint.parent


def test_an_interrupted_run_is_gone_on_with_whatever_its_steps(splits, settings, monkeypatch,
                                                               capsys):
    folder = interrupted(splits, settings, monkeypatch, steps=60)
    assert not (folder / "encoder.safetensors").exists()
    encoder = find_or_pretrain("byol", splits, settings)
    assert f"going on with the interrupted run {folder}, 60 steps in all" in capsys.readouterr().out
    assert load_encoder(folder / "encoder.safetensors").meta["steps"] == 60
    assert [path.name for path in settings.checkpoints.iterdir()] == [folder.name]
    assert not encoder.training


def test_an_interrupted_run_of_another_encoder_is_left_alone(splits, settings, monkeypatch, capsys):
    folder = interrupted(splits, settings, monkeypatch, steps=60)
    find_or_pretrain("byol", splits, settings.replace(encoder="vit_digits"))
    assert "one is trained now" in capsys.readouterr().out
    assert not (folder / "encoder.safetensors").exists()


def test_who_asks_for_training_gets_training_on_photographs_too(photographs, capsys):
    assert chosen_encoder(Choice("train"), *photographs)[1] == "BYOL"
    assert "one is trained now for 4 steps" in capsys.readouterr().out


def dyed(folder, name, blue):
    """Splits of a folder with this name, whose images have a color of their own, of a size that
    trains quickly."""
    for kind in ("ant", "bee"):
        for n in range(12):
            paint(folder / name / "train" / kind / f"{n}.png", (20 * n, len(kind), blue))
    chosen = Settings.resolve(preset="smoke", dataset=str(folder / name),
                              run_dir=folder.parent / "runs", pretrain_steps=2, image_size=16)
    return load(folder / name, image_size=16, data_dir=folder / "data"), chosen


def test_folders_of_one_name_do_not_share_a_run(tmp_path, capsys):
    first, second = dyed(tmp_path / "a", "pics", blue=10), dyed(tmp_path / "b", "pics", blue=200)
    ours, theirs = train("byol", *first), train("byol", *second)
    assert ours.path.parent.parent == theirs.path.parent.parent and ours.path != theirs.path
    assert ours.losses != theirs.losses
    assert train("byol", *first).losses == ours.losses
    capsys.readouterr()
    find_or_pretrain("byol", *first)
    assert f"an earlier run, {ours.path}" in capsys.readouterr().out


def test_a_folder_whose_images_changed_does_not_get_its_earlier_encoder(tmp_path, capsys):
    made = train("byol", *dyed(tmp_path / "a", "pics", blue=10)).path
    for image in (tmp_path / "a" / "pics").rglob("*1.png"):
        paint(image, (1, 2, 3))
    changed, chosen = dyed(tmp_path / "b", "pics", blue=10)
    changed = dataclasses.replace(changed, unlabeled=changed.unlabeled[:-1])
    find_or_pretrain("byol", changed, chosen)
    assert f"byol: {made} is not taken, for it has learned from other images" in capsys.readouterr(
    ).out


def test_a_named_dataset_needs_no_look_at_its_images(splits, settings):
    assert runs.images_of(splits, settings) == ""
    assert "images" not in load_encoder(train("byol", splits, settings).path).meta
    usual = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    # what the released weights were made by
    assert run_of("byol", usual).folder.name == "byol-c6af97aa"


@pytest.fixture
def collapse(monkeypatch):
    """Every evaluation finds a collapse, whatever is trained."""
    monkeypatch.setattr(monitors, "collapsed", lambda row: True)
    monkeypatch.setattr(monitors, "batch_norm_settled", lambda encoder: True)


def test_a_run_that_a_collapse_has_stopped_stays_stopped_and_its_encoder_is_not_taken(
        splits, settings, collapse, capsys):
    run = train("byol", splits, settings, stop_on_collapse=True)
    meta = load_encoder(run.path).meta
    assert len(run.losses) == len(run.momentum) == meta["steps"] == 1 and meta["stopped_of"] == 6
    again = train("byol", splits, settings, stop_on_collapse=True)
    assert again.losses == run.losses and again.monitor == run.monitor
    assert capsys.readouterr().out.count("collapse at step 1: ") == 2
    find_or_pretrain("byol", splits, settings)
    said = capsys.readouterr().out
    stopped = "is not taken, for its training was stopped by a collapse at step 1 of 6"
    assert f"{run.path} {stopped}" in said
    assert "one is trained now for 6 steps" in said
    assert load_encoder(run.path).meta["steps"] == 6  # it went on to the end
    find_or_pretrain("byol", splits, settings)
    assert "the encoder of an earlier run" in capsys.readouterr().out


def test_a_loss_that_is_no_number_is_one_line_while_the_monitor_looks(splits, settings,
                                                                      monkeypatch):
    plain = BYOL.training_step
    monkeypatch.setattr(BYOL, "training_step", lambda module, *batch: plain(module, *batch) * (
        float("nan") if module.global_step == 1 else 1.0))
    with pytest.raises(UserError,
                       match="the loss became nan at step 2: try a smaller learning rate"):
        train("byol", splits, settings.replace(pretrain_steps=24))  # the first look is at step 2
    assert not list(settings.run_dir.rglob("*.ckpt")) and not list(
        settings.run_dir.rglob("*.safetensors"))


def test_runs_that_cannot_be_written_are_one_line(splits, settings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
            UserError,
            match="cannot write .*file/digits-smoke-seed0/byol.*: choose another folder"):
        find_or_pretrain("byol", splits, settings.replace(run_dir=tmp_path / "file"))


def test_methods_do_not_share_an_encoder(splits, settings):
    find_or_pretrain("byol", splits, settings)
    assert not list(settings.checkpoints.glob("noise-byol-*"))
    assert run_of("byol", settings).folder != run_of("noise-byol", settings).folder


def test_another_recipe_or_start_has_another_folder(settings):
    folders = {run_of("byol", settings).folder, run_of("byol", settings, "imagenet").folder,
               run_of("byol", settings.replace(pretrain_steps=7)).folder,
               run_of("byol", settings.replace(batch_size=32)).folder,
               run_of("byol", settings.replace(precision="32")).folder}
    assert len(folders) == 5


def test_a_released_encoder_is_that_of_its_run_whatever_the_precision(settings):
    marks = {run_of("byol", settings.replace(precision=word)).mark for word in ("auto", "32")}
    assert marks == {run_of("byol", settings).mark}


def test_pretraining_is_watched_and_keeps_its_curves(splits, settings):
    run = train("byol", splits, settings)
    assert len(run.losses) == len(run.momentum) == 6
    assert run.monitor[0]["step"] == 0 and run.monitor[-1]["step"] == 6
    again = train("byol", splits, settings)  # the finished run is read back, not repeated
    assert again.losses == run.losses and again.monitor == run.monitor


def test_validation_and_test_images_are_not_trained_on(splits):
    unlabelled = {image.numpy().tobytes() for image in splits.unlabeled}
    held_out = [image for part in (splits.val, splits.test) for image in part.images]
    assert sum(image.numpy().tobytes() in unlabelled for image in held_out) == 0


def test_noise_byol_has_one_clean_and_one_noisy_view(settings):
    clean, noisy = two_views(recipe_for("noise-byol", settings), settings)
    assert not isinstance(clean, Noisy) and isinstance(noisy, Noisy)
    assert noisy.view == clean


def test_large_photographs_get_the_papers_two_views_and_others_twice_the_same(settings):
    large = settings.replace(dataset="stl10", image_size=96)
    first, second = two_views(recipe_for("byol", large), large)
    assert (first.blur, first.solarize, second.blur, second.solarize) == (1.0, 0.0, 0.1, 0.2)
    assert dataclasses.replace(first, blur=0.1, solarize=0.2) == second
    clean, noisy = two_views(recipe_for("noise-byol", large), large)
    assert (clean, noisy.view) == (first, second)
    for other in (settings, large.replace(image_size=64), large.replace(dataset="fashion-mnist")):
        first, second = two_views(recipe_for("byol", other), other)
        assert first == second


def test_the_rate_of_a_large_encoder_grows_with_the_batch(settings):
    rates = [recipe_for("byol", settings.replace(encoder=name, batch_size=batch)).lr
             for name in ("resnet18", "slim") for batch in (256, 1024)]
    assert rates == [1e-3, 4e-3, 2e-3, 2e-3]
    vit = settings.replace(encoder="vit_tiny", batch_size=64)
    assert recipe_for("noise-byol", vit).lr == 2.5e-4


def test_one_sigma_and_a_schedule_replace_the_datasets_range(settings):
    chosen = settings.replace(noise_sigma=0.5, noise_schedule="constant")
    usual, constant = (recipe_for("noise-byol", each) for each in (settings, chosen))
    assert (usual.noise, usual.ramp) == (NOISE["digits"], (0.05, 0.3))
    assert (constant.noise, constant.ramp) == ((0.5, 0.5), (0.0, 0.0))
    linear = recipe_for("noise-byol", settings.replace(noise_schedule="linear"))
    assert linear.ramp == (0.0, 1.0)
    assert recipe_for("byol", chosen) == recipe_for("byol", settings)


def test_encoders_of_other_noise_are_not_taken_for_one_another(splits, settings, capsys):
    chosen = settings.replace(noise_sigma=0.5, noise_schedule="constant")
    find_or_pretrain("noise-byol", splits, chosen)
    capsys.readouterr()
    find_or_pretrain("noise-byol", splits, settings)
    assert "no encoder" in capsys.readouterr().out
    find_or_pretrain("noise-byol", splits, chosen)
    assert "noise-byol_sigma0.5_constant" in capsys.readouterr().out


def test_noise_byol_trains_a_vit_that_is_found_again_whole(splits, settings):
    settings = settings.replace(encoder="vit_digits", noise_sigma=0.4, noise_schedule="linear",
                                pretrain_steps=12)
    fresh = fresh_encoder(splits, settings)
    run = train("noise-byol", splits, settings)
    assert len(run.losses) == 12 and run.losses[-1] < run.losses[0]
    assert (run.encoder.name, run.encoder.num_features) == ("vit_digits", 64)
    moved = [
        not torch.equal(a, b)
        for a, b in zip(fresh.parameters(), run.encoder.parameters(), strict=True)
    ]
    assert all(moved)  # the class token, the positions and every block take part
    found = find_or_pretrain("noise-byol", splits, settings)
    images = normalise(splits.test.images[:4])
    with torch.no_grad():
        torch.testing.assert_close(found(images), run.encoder(images))


def test_dino_is_watched_for_both_collapses_and_found_again(splits, settings):
    settings = settings.replace(dino_steps=4)
    run = train("dino", splits, settings)
    assert len(run.losses) == len(run.momentum) == 4
    assert {"entropy", "kl", "variety", "uniform"} <= run.monitor[-1].keys()
    found = find_or_pretrain("dino", splits, settings)
    images = splits.val.images[:4].float() / 127.5 - 1
    torch.testing.assert_close(found(images), run.encoder.to("cpu")(images))


def test_dinos_recipe_follows_the_encoder(splits, settings):
    vit = settings.replace(encoder="vit_tiny", batch_size=512)
    recipe = recipe_for("dino", vit).replace(steps=100)
    assert recipe.lr == pytest.approx(1e-3) and recipe.weight_decay == (0.04, 0.4)
    module = build_method(recipe, build("vit_tiny", channels=1, image_size=16, depth=1), vit, 7.4)
    assert module.student_head.freeze_last_layer == 7
    assert module.criterion.center.shape[-1] == 65_536
    resnet = recipe_for("dino", settings.replace(encoder="resnet50"))
    assert resnet.global_scale == (0.14, 1.0) and resnet.output_dim == 4096


def test_an_unknown_method_is_one_line(settings):
    with pytest.raises(UserError, match="unknown method 'simclr': choose byol, noise-byol"):
        recipe_for("simclr", settings)


def test_a_fresh_encoder_depends_on_the_seed_alone(splits, settings):
    torch.manual_seed(1)
    first = next(fresh_encoder(splits, settings).parameters())
    torch.manual_seed(2)
    assert torch.equal(first, next(fresh_encoder(splits, settings).parameters()))
    assert not torch.equal(first, next(
        fresh_encoder(splits, settings.replace(seed=1)).parameters()))


def test_photographs_have_a_recipe_of_their_own_on_a_cpu():
    momentum = {
        name: recipe_for("byol", Settings.resolve(dataset=name, preset="quick", device="cpu")).ema
        for name in ("digits", "imagenette")
    }
    assert momentum["imagenette"] < momentum["digits"]


def hold(folder, seconds):
    with one_at_a_time(folder):
        (folder / "held").touch()
        time.sleep(seconds)
        (folder / "held").unlink()


def test_a_second_training_in_a_run_folder_waits_and_says_so(splits, settings, capsys):
    pytest.importorskip("fcntl")
    folder = run_of("byol", settings).folder
    other = multiprocessing.get_context("fork").Process(target=hold, args=(folder, 1.0))
    other.start()
    while not (folder / "held").exists():
        time.sleep(0.01)
    train("byol", splits, settings)
    assert not (folder / "held").exists()
    assert f"another training is at work in {folder}: this one waits" in capsys.readouterr().err
    other.join()
    train("byol", splits, settings)
    assert "another training" not in capsys.readouterr().err
