"""The exercises at the ends of notebooks 02 and 08: their lines change the recipe as they say."""

import json
import re
from pathlib import Path

import pytest
import torch

from helpers.methods.build import build_method, crops_for, two_views
from helpers.methods.presets import recipe_for
from helpers.models.encoder import build
from helpers.settings import Settings
from helpers.training.recipe_file import read_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings():
    return Settings.resolve(preset="quick", dataset="digits", device="cpu")


def exercises(notebook):
    """The text of each exercise by its number."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    (text,) = (source for cell in cells
               if "## Try it" in (source := "".join(cell["source"])))
    parts = re.split(r"^(\d)\. ", text, flags=re.MULTILINE)[1:]
    return dict(zip(map(int, parts[::2]), parts[1::2], strict=True))


def after(notebook, number, method, settings):
    """The preset's recipe after the one line of code of an exercise."""
    code = [line for line in re.findall(r"`([^`]+)`", exercises(notebook)[number])
            if line.startswith("recipe = ")]
    names = {"recipe": recipe_for(method, settings)}
    exec(code[0], names)
    assert len(code) == 1
    return names["recipe"]


def test_the_views_are_twice_as_strong(settings):
    (usual, _), (strong, _) = (
        two_views(recipe, settings)
        for recipe in (recipe_for("byol", settings),
                       after("02_byol_training", 1, "byol", settings)))
    for name in ("angle", "zoom", "shift", "warp"):
        assert getattr(strong, name) == 2 * getattr(usual, name)


def test_the_learning_rate_is_what_the_module_trains_with(settings):
    recipe = after("02_byol_training", 2, "byol", settings)
    module = build_method(recipe, build("slim", channels=1, image_size=16), settings)
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert {group["initial_lr"] for group in groups} == {0.1}


def test_the_training_is_long_enough_to_be_stopped(settings):
    assert after("02_byol_training", 3, "byol", settings).steps == 10_000


def test_the_recipe_of_another_project_is_there():
    command = re.search(r"python -m helpers pretrain byol --config ([\w/.]+yaml)",
                        exercises("02_byol_training")[5])
    assert read_recipe(ROOT / command[1])["method"] == "byol"


def test_local_crops_are_about_a_tenth_of_the_image(settings):
    recipe = after("08_dino_your_images", 1, "dino", settings)
    low, high = crops_for(recipe, settings).local.scale
    assert (low + high) / 2 == pytest.approx(0.1)


def test_without_centering_the_centre_stays_where_it_is(settings):
    recipe = after("08_dino_your_images", 2, "dino", settings)
    module = build_method(recipe, build("slim", channels=1, image_size=16), settings)
    teacher, student = torch.randn(2, 4, 512).unbind(), torch.randn(8, 4, 512).unbind()
    module.criterion(list(teacher), list(student), teacher_temp=0.04)
    assert not module.criterion.center.any()
