"""Recipes: typed, checked where they are made, and the same runs as ever."""

import subprocess
import sys

import pytest

from helpers.common.errors import UserError
from helpers.common.names import METHODS, NOISE_SCHEDULES
from helpers.methods.build import build_method, crops_for, two_views
from helpers.methods.presets import MOST_EPOCHS, NOISE_RAMPS, fine_tuning, recipe_for
from helpers.methods.recipes import BYOLRecipe, ClassifierRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import facts
from helpers.settings import Settings
from helpers.training.runs import Run


@pytest.fixture
def settings():
    return Settings.resolve(preset="quick", dataset="digits", device="cpu")


# What the runs of the first release are called: a recipe may get fields, never another mark. Its
# digits had noise in their views, and BYOL's target moved more slowly.
@pytest.mark.parametrize("preset,dataset,encoder,method,folder", [
    ("quick", "digits", None, "byol", "byol-7e72411d"),
    ("quick", "digits", None, "noise-byol", "noise-byol-3b1c36d0"),
    ("quick", "digits", None, "dino", "dino-8856aead"),
    ("smoke", "digits", None, "byol", "byol-6b2cadc1"),
    ("smoke", "digits", None, "noise-byol", "noise-byol-b674188b"),
    ("smoke", "digits", None, "dino", "dino-d82d24fe"),
    ("full", "digits", "slim", "dino", "dino-885958c0"),
    ("full", "stl10", None, "byol", "byol-bf9939f7"),
    ("full", "stl10", None, "noise-byol", "noise-byol-2081961e"),
    ("full", "stl10", None, "dino", "dino-59bee345"),
    ("full", "stl10", "vit_small", "dino", "dino-2fa212f6"),
    ("full", "stl10", "slim", "noise-byol", "noise-byol-dadaf860"),
    ("quick", "imagenette", None, "byol", "byol-1d66cc92"),
])
def test_runs_have_the_marks_that_they_always_had(preset, dataset, encoder, method, folder):
    chosen = Settings.resolve(preset=preset, dataset=dataset, encoder=encoder, device="cpu")
    views = dict(noise=0.1) if dataset == "digits" else None
    recipe = recipe_for(method, chosen).replace(views=views)
    if method == "byol" and dataset == "digits":
        recipe = recipe.replace(ema=0.98)
    assert Run(recipe, chosen).folder.name == folder


@pytest.mark.parametrize("method,folder", [
    ("byol", "byol-c6af97aa"), ("noise-byol", "noise-byol-578ade32"), ("dino", "dino-701d19a5")])
def test_runs_of_todays_recipes_for_digits_have_marks_of_their_own(settings, method, folder):
    assert Run(recipe_for(method, settings), settings).folder.name == folder


def test_a_resnets_run_with_the_papers_outputs_has_the_mark_of_its_earlier_recipe():
    chosen = Settings.resolve(preset="full", dataset="stl10", device="cpu")
    earlier = recipe_for("dino", chosen).replace(output_dim=65_536)
    assert Run(earlier, chosen).folder.name == "dino-7028536c"


def test_other_noise_has_its_name_and_mark(settings):
    one = settings.replace(noise_sigma=0.5, noise_schedule="constant")
    assert Run(recipe_for("noise-byol", one), one).folder.name == \
        "noise-byol_sigma0.5_constant-b3d578dd"
    other = settings.replace(noise_schedule="linear")
    assert Run(recipe_for("noise-byol", other), other).name == "noise-byol_sigma0_linear"


def test_the_name_of_noise_comes_from_the_recipe_alone(settings):
    wide = recipe_for("noise-byol", settings).replace(noise=(0.25, 1.5), ramp=(0.1, 0.2))
    assert Run(wide, settings).name == "noise-byol_sigma0.25-1.5_ramp0.1-0.2"


@pytest.mark.parametrize("name,run", [
    (name, facts(registry.kept(entry))["run"]) for name, entry in registry.entries().items()
    if registry.kept(entry) and "run" in facts(registry.kept(entry))
    and facts(registry.kept(entry))["dataset"] == "digits"])
def test_released_encoders_are_those_of_a_recipe(name, run):
    method = facts(registry.kept(registry.entry(name)))["method"]
    chosen = Settings.resolve(preset=run.split("-")[1], dataset="digits", device="cpu", seed=0)
    assert Run(recipe_for(method, chosen), chosen).mark == run


def test_a_field_that_differs_from_its_default_counts(settings):
    recipe = recipe_for("byol", settings)
    changes = (dict(weight_decay=0.0), dict(optimizer="sgd"), dict(views=dict(angle=25)),
               dict(ema_end=0.99), dict(ramp=(0.0, 0.0)), dict(warmup=0.0))
    folders = {Run(recipe.replace(**change), settings).folder for change in ({}, *changes)}
    assert len(folders) == 1 + len(changes)
    assert Run(recipe.replace(weight_decay=1e-4), settings).folder == \
        Run(recipe, settings).folder


@pytest.mark.parametrize("change,message", [
    (dict(lr="fast"), "lr must be a number, not 'fast'"),
    (dict(lr=0), "lr must be above 0, not 0.0"),
    (dict(lr=True), "lr must be a number, not True"),
    (dict(lr=float("nan")), "lr must be a number, not nan"),
    (dict(steps=2.5), "steps must be a whole number, not 2.5"),
    (dict(steps=0), "steps must be at least 1, not 0"),
    (dict(ema=1.5), "ema must be at least 0 and at most 1, not 1.5"),
    (dict(optimizer="adam"), "optimizer must be one of adamw, adamw_8bit, sgd, lars, not 'adam'"),
    (dict(noise=0.5), "noise must be 2 numbers, not 0.5"),
    (dict(noise=(2.0, 1.0)), "noise goes from low to high"),
    (dict(views=3), "views must be a table of names and values"),
    (dict(lrr=0.1), "BYOLRecipe has no field 'lrr': did you mean lr?"),
    (dict(hidden=64), "BYOLRecipe has no field 'hidden': did you mean hidden_dim?"),
])
def test_a_wrong_field_is_one_line_where_the_recipe_is_made(change, message):
    for make in (lambda: BYOLRecipe(**{"steps": 10, **change}),
                 lambda: BYOLRecipe(steps=10).replace(**change)):
        with pytest.raises(UserError) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_whole_numbers_and_lists_become_what_the_field_is():
    recipe = BYOLRecipe(steps=10, lr=1, noise=[0, 2], views=dict(jitter=(1, 1, 1, 0)))
    assert repr(recipe.lr) == "1.0" and repr(recipe.noise) == "(0.0, 2.0)"
    assert recipe.views == {"jitter": [1, 1, 1, 0]}


def test_a_recipe_with_noise_is_noise_byol():
    assert BYOLRecipe(steps=1).method == "byol"
    assert BYOLRecipe(steps=1, noise=(0.0, 1.0)).method == "noise-byol"
    assert DINORecipe(steps=1).method == "dino"


def test_a_recipe_is_that_of_its_method(settings):
    assert [recipe_for(method, settings).method for method in METHODS] == list(METHODS)
    assert set(NOISE_RAMPS) == set(NOISE_SCHEDULES)


def test_views_take_changes_by_name(settings):
    recipe = recipe_for("byol", settings).replace(views=dict(angle=25, warp=0.12))
    first, second = two_views(recipe, settings)
    assert first == second and (first.angle, first.warp, first.zoom) == (25, 0.12, 0.14)
    photos = settings.replace(dataset="stl10", image_size=96)
    first, second = two_views(recipe.replace(views=dict(blur=0.7)), photos)
    assert (first.blur, second.blur, second.solarize) == (0.7, 0.7, 0.2)


@pytest.mark.parametrize("views,message", [
    (dict(angel=25), "DigitView has no field 'angel': did you mean angle?"),
    (dict(angle="far"), "views.angle must be a number, not 'far'")])
def test_views_that_do_not_exist_are_one_line(settings, views, message):
    recipe = recipe_for("byol", settings).replace(views=views)
    with pytest.raises(UserError) as caught:
        two_views(recipe, settings)
    assert message in str(caught.value)


def test_crops_follow_the_recipe(settings):
    recipe = recipe_for("dino", settings).replace(
        local_scale=(0.05, 0.15), local_crops=3, views=dict(angle=5))
    crops = crops_for(recipe, settings)
    assert (crops.local.scale, crops.local_crops) == ((0.05, 0.15), 3)
    assert crops.first.angle == crops.local.view.angle == 5
    photos = crops_for(recipe.replace(views=None, global_scale=(0.3, 0.9), local_scale=None),
                       settings.replace(dataset="stl10", image_size=96))
    assert photos.first.scale == (0.3, 0.9) and photos.local.scale == (0.05, 0.3)
    assert (photos.first.size, photos.local.size) == (96, 40)
    small = crops_for(recipe.replace(views=dict(size=64, blur=0.0)),
                      settings.replace(dataset="stl10", image_size=96))
    assert (small.first.size, small.second.size, small.local.size) == (64, 64, 24)
    assert small.first.blur == small.local.blur == 0
    for size, near in ((60, "56 or 64"), (4, "8 or 16")):
        with pytest.raises(UserError, match=f"views.size {size} is no multiple .* {near}"):
            crops_for(recipe.replace(views=dict(size=size)),
                      settings.replace(dataset="stl10", image_size=96))
    with pytest.raises(UserError, match="size"):
        crops_for(recipe.replace(views=dict(size=8)), settings)
    with pytest.raises(UserError, match="views.scale of DINO is what global_scale"):
        crops_for(recipe.replace(views=dict(scale=(0.1, 1.0))), settings)


@pytest.mark.parametrize("name", ["slim_fine", "slim_deep", "slim_joined"])
def test_the_fine_encoders_see_photographs_in_smaller_views_without_blur(settings, name):
    photos = settings.replace(dataset="stl10", image_size=96, encoder=name)
    crops = crops_for(recipe_for("dino", photos), photos)
    assert (crops.first.size, crops.second.size, crops.local.size) == (64, 64, 24)
    assert crops.first.scale == (0.2, 1.0) and crops.local.scale == (0.05, 0.2)
    for view in (*two_views(recipe_for("byol", photos), photos), crops.first, crops.second,
                 crops.local):
        assert view.blur == view.solarize == 0
    assert {view.size for view in two_views(recipe_for("byol", photos), photos)} == {64}
    assert recipe_for("dino", settings.replace(encoder=name)).views is None  # of drawings
    noisy = recipe_for("noise-byol", photos)
    assert (noisy.lr, noisy.ema, noisy.noise) == (2e-3, 0.99, (0.0, 1.5))
    assert recipe_for("noise-byol", settings.replace(encoder=name)).ema == 0.98


def test_fine_tuning_has_the_settings_steps_and_a_faster_head(settings):
    recipe = fine_tuning(settings)
    assert recipe == ClassifierRecipe(steps=settings.finetune_steps, lr=5e-4, head_lr=5e-3,
                                      batch_size=settings.batch_size)
    assert fine_tuning(settings, lr=1e-3).lr == 1e-3


def test_recipes_need_no_torch():
    code = "import sys, helpers.methods.presets, helpers.methods.recipes as r; " \
        "r.DINORecipe(steps=1); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_folder_is_not_shown_more_often_than_the_longest_benchmark_shows_its_images(method):
    chosen = Settings.resolve(preset="full", dataset="my/photos", device="cpu")
    few, many = (recipe_for(method, chosen, images) for images in (500, 1_000_000))
    assert few.steps * few.batch_size <= 500 * MOST_EPOCHS < (few.steps + 1) * few.batch_size
    assert many == recipe_for(method, chosen)
    named = chosen.replace(dataset="stl10")
    assert recipe_for(method, named, 500) == recipe_for(method, named)


@pytest.mark.parametrize("method", ["byol", "noise-byol"])
def test_a_batch_of_one_image_is_refused_where_heads_normalise_over_it(settings, method):
    recipe = recipe_for(method, settings).replace(batch_size=1)
    with pytest.raises(UserError, match="batch size of 2 or more"):
        build_method(recipe, build("slim", channels=1, image_size=16), settings)
