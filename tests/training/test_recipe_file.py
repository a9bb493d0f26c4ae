"""A recipe as a YAML file: what is refused, what the command line overrides, and the same run
again from the file that a run kept."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml

from helpers.cli.main import main
from helpers.common.errors import UserError
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.settings import Settings
from helpers.training.recipe_file import NAME, read_recipe, write_recipe
from helpers.training.runs import Run

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SMALL = ["--dataset", "digits", "--preset", "smoke", "--encoder", "slim", "--image-size", "16",
         "--start", "train", "--device", "cpu"]


@pytest.fixture
def settings(tmp_path):
    return Settings.resolve(preset="smoke", dataset="digits", device="cpu", run_dir=tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Stands in for the training; notes what it was asked for."""
    noted = Namespace()

    def note(splits, settings, recipe, **options):
        noted.settings, noted.recipe, noted.start = settings, recipe, options["start"].start
        row = {"knn": 0.8, "spread": 0.5, "rank": 12.3, "dimensions": 96, "feature_std": 0.5}
        return Namespace(monitor=[row], path="x", seconds=3.2)

    monkeypatch.setattr("helpers.training.pretraining.pretrain", note)
    return noted


def written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("method", ["byol", "noise-byol", "dino"])
def test_a_recipe_comes_back_from_its_file_as_it_was(method, settings):
    recipe = recipe_for(method, settings).replace(lr=1e-5, views=dict(angle=25, zoom=0.1))
    path = write_recipe(Run(recipe, settings, "mine"))
    said = read_recipe(path)
    assert type(recipe)(**said.pop("recipe")) == recipe
    assert said == dict(method=method, dataset="digits", preset="smoke", encoder="slim",
                        image_size=16, seed=0, start="mine")
    assert [file.name for file in path.parent.iterdir()] == [NAME]


@pytest.mark.parametrize("text,message", [
    ("method: byol\nrecipe: {lrr: 0.1}", "BYOLRecipe has no field 'lrr': did you mean lr?"),
    ("recipe: {lr: quick}", "lr must be a number, not 'quick'"),
    ("recipe: {lr: -1}", "lr must be above 0, not -1.0"),
    ("recipe: {ramp: [0.5, 2]}", "ramp must be at least 0 and at most 1, not 2.0"),
    ("recipe: {noise: [0.5, 1]}", "this is a recipe of noise-byol, not byol"),
    ("recipe: 3", "recipe must be a table of names and values, not 3"),
    ("recipes: {lr: 1}", "has no field 'recipes': did you mean recipe?"),
    ("seed: one", "seed must be a whole number, not 'one'"),
    ("encoder: vgg", "unknown encoder 'vgg'"),
    ("method: dino", "is a recipe of dino, not byol"),
    ("recipe: {lr: [", "is no YAML"),
    ("just words", "has no fields"),
    ("!!python/object/apply:os.getcwd []", "is no YAML"),
])
def test_a_bad_file_is_one_line_and_status_2(text, message, tmp_path, asked, capsys):
    line = ["pretrain", "byol", "--config", written(tmp_path, text), "--dataset", "digits"]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not vars(asked)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot read the recipe .*none.yaml: No such file"):
        read_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize("words,message", [
    (["--lrr", "1"], "unknown option --lrr: did you mean --lr? (see `python -m helpers pretrain "),
    (["--lr", "fast"], "lr must be a number, not 'fast'"),
    (["--lr", "0"], "lr must be above 0"),
    (["--noise", "1"], "noise must be 2 numbers, not 1"),
    (["--output-dim", "64"], "BYOLRecipe has no field 'output_dim'"),
    (["--views.angel", "25"], "DigitView has no field 'angel': did you mean angle?"),
    (["--views.angle"], "--views.angle needs a value"),
    (["--views.angle", "25", "--wat"], "unknown option --wat"),
])
def test_a_bad_option_is_one_line_and_status_2(words, message, tmp_path, capsys):
    assert main(["pretrain", "byol", *SMALL, "--out", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_command_line_overrides_the_file_and_the_file_the_preset(tmp_path, asked):
    path = written(tmp_path, "method: byol\ndataset: digits\npreset: smoke\nseed: 7\nrecipe:\n"
                   "  lr: 1e-3\n  hidden_dim: 32\n  weight_decay: 0\n  views: {zoom: 0.1}\n")
    assert main(["pretrain", "byol", "--config", path, "--lr", "0.01", "--views.angle", "25",
                 "--noise-sigma", "0.3"]) == 0
    recipe = asked.recipe
    assert (recipe.lr, recipe.hidden_dim, recipe.weight_decay) == (0.01, 32, 0.0)
    assert recipe.views == {"zoom": 0.1, "angle": 25} and recipe.projection_dim == 64
    assert asked.settings.seed == 7 and asked.start == "scratch"
    assert main(["pretrain", "byol", "--config", path, "--seed", "1", "--batch-size", "32"]) == 0
    assert asked.settings.seed == 1 and asked.recipe.batch_size == 32


def test_noise_of_the_command_line_comes_before_that_of_the_file(tmp_path, asked):
    path = written(tmp_path, "dataset: digits\nrecipe: {noise: [0.1, 0.2], ramp: [0, 1]}")
    line = ["pretrain", "noise-byol", "--config", path]
    main(line)
    assert (asked.recipe.noise, asked.recipe.ramp) == ((0.1, 0.2), (0.0, 1.0))
    main([*line, "--noise-sigma", "0.5", "--noise-schedule", "constant"])
    assert (asked.recipe.noise, asked.recipe.ramp) == ((0.5, 0.5), (0.0, 0.0))
    main([*line, "--noise", "0.3", "0.4", "--ramp", "0.1,0.2"])
    assert (asked.recipe.noise, asked.recipe.ramp) == ((0.3, 0.4), (0.1, 0.2))


def test_the_file_that_a_run_kept_starts_the_same_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path / "first"))
    line = ["pretrain", "byol", *SMALL, "--steps", "3", "--lr", "0.004", "--views.angle", "20"]
    assert main(line) == 0
    (kept,) = (tmp_path / "first").glob(f"*/*/{NAME}")
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path / "second"))
    assert main(["pretrain", "byol", "--config", str(kept), "--device", "cpu"]) == 0
    (again,) = (tmp_path / "second").glob(f"*/*/{NAME}")
    assert again.relative_to(tmp_path / "second") == kept.relative_to(tmp_path / "first")
    assert again.read_text() == kept.read_text()
    ours, theirs = (load_encoder(path.parent / "encoder.safetensors") for path in (kept, again))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    command = ours.meta["command"].split()
    assert command[-6:] == ["--steps", "3", "--lr", "0.004", "--views.angle", "20"]


def test_the_file_of_a_run_that_started_from_weights_of_ones_own_starts_it_again(
        tmp_path, monkeypatch, capsys):
    save_encoder(build("slim", channels=1, image_size=16, width=8), tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", "byol", *SMALL, "--steps", "2", "--out", "first", "--start",
                 "mine.safetensors"]) == 0
    (kept,) = Path("first").glob(f"*/*/{NAME}")
    assert read_recipe(kept)["start"] == str(tmp_path / "mine.safetensors")
    kept = kept.resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["pretrain", "byol", "--config", str(kept), "--out", "again", "--device",
                 "cpu"]) == 0
    (again,) = Path("again").glob(f"*/*/{NAME}")
    assert again.parent.name == kept.parent.name and again.read_text() == kept.read_text()
    command = load_encoder(kept.parent / "encoder.safetensors").meta["command"]
    assert "--start mine.safetensors" in command


OF_PHOTOS = [path for path in CONFIGS if "views: {" in path.read_text()]


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in OF_PHOTOS],
                         ids=lambda path: path.stem)
def test_every_config_trains_digits_for_two_steps(path, tmp_path, monkeypatch, capsys):
    method = yaml.safe_load(path.read_text())["method"]
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path))
    small = ["--hidden-dim", "64", *(["--output-dim", "64"] if method == "dino" else [])]
    assert main(["pretrain", method, "--config", str(path), *SMALL, *small, "--steps", "2",
                 "--batch-size", "16"]) == 0
    assert list(tmp_path.glob("*/*/encoder.safetensors"))


@pytest.mark.parametrize("path", OF_PHOTOS, ids=lambda path: path.stem)
def test_a_config_with_views_of_photographs_takes_a_step_on_them(path):
    said = read_recipe(path)
    settings = Settings.resolve(dataset=said["dataset"], device="cpu", image_size=32)
    module = build_method(BYOLRecipe(**said["recipe"]), build("slim", channels=3, image_size=32),
                          settings)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    module.__class__ = type("AtStart", (type(module),), {"global_step": 0})
    assert module.training_step((images, None), 0).isfinite()


@pytest.mark.parametrize("path", [path for path in CONFIGS if "preset's" in path.read_text()],
                         ids=lambda path: path.stem)
def test_the_configs_of_the_presets_are_their_recipes(path):
    said = read_recipe(path)
    settings = Settings.resolve(preset=said["preset"], dataset=said["dataset"], device="cpu")
    recipe = recipe_for(said["method"], settings)
    assert type(recipe)(**said["recipe"]) == recipe
    assert (said["encoder"], said["image_size"]) == (settings.encoder, settings.image_size)


def test_the_configs_of_the_predecessors_are_theirs():
    said = {path.stem: read_recipe(path)["recipe"] for path in CONFIGS}
    byol, noisy = said["pytorch_byol_stl10"], said["vit_byol_cifar10"]
    assert (byol["optimizer"], byol["lr"], byol["sgd_momentum"], byol["weight_decay"]) == \
        ("sgd", 0.03, 0.9, 4e-4)
    for theirs, batch in ((byol, 64), (noisy, 128)):
        assert (theirs["hidden_dim"], theirs["projection_dim"], theirs["batch_size"]) == \
            (512, 128, batch)
        assert theirs["ema"] == theirs["ema_end"] == 0.996
    assert noisy["noise"] == [1.4, 1.4] and noisy["lr"] == 1e-5
    vit, resnet = (DINORecipe(**said[f"dino_{name}"]) for name in ("vit_small", "resnet50"))
    assert (vit.weight_decay, vit.global_scale) == ((0.04, 0.4), (0.4, 1.0))
    assert (resnet.optimizer, resnet.lr, resnet.weight_decay) == ("sgd", 0.03, (1e-4, 1e-4))
    assert (resnet.global_scale, resnet.local_scale) == ((0.14, 1.0), (0.05, 0.14))
