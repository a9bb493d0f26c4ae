"""The exercises at the ends of the notebooks: their lines do what they say."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers.data.splits import Labeled
from helpers.evaluation.attention import attention_and_gradients
from helpers.evaluation.diagnostics.checks import check_up
from helpers.evaluation.diagnostics.faults import become
from helpers.methods.build import build_method, crops_for, two_views
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import build
from helpers.models.vit import build_vit
from helpers.settings import Settings
from helpers.training.finetune import train_classifier
from helpers.training.recipe_file import read_recipe
from helpers.transforms.corruptions import SEVERITIES
from helpers.transforms.views import CleanView, normalise

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


def lines(notebook, number, begins):
    """The code of an exercise that begins so."""
    found = [line for line in re.findall(r"`([^`]+)`", exercises(notebook)[number])
             if line.startswith(begins)]
    assert found, (notebook, number, begins)
    return found


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


@pytest.fixture
def vit():
    """A small ViT with a head for ten classes."""
    torch.manual_seed(0)
    return build_vit("vit_digits", 16, 1, num_classes=10)


def test_the_baseline_trains_on_images_as_they_are(settings):
    (argument,) = lines("01_resnet18_baseline", 2, "view=")
    arguments = eval(f"dict({argument})", {"CleanView": CleanView})
    images = torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8)
    assert torch.equal(arguments["view"](images), normalise(images))
    data = Labeled(images, torch.arange(20) % 10)
    train_classifier(build("slim", channels=1, image_size=16), data, 10, settings,
                     ClassifierRecipe(steps=1, batch_size=20), **arguments)


def test_without_its_predictor_byol_compares_projections(settings):
    (code,) = lines("02_byol_training", 4, "def online")
    names = {}
    exec(code, names)
    module = build_method(recipe_for("byol", settings),
                          build("slim", channels=1, image_size=16), settings)
    view = torch.zeros(4, 1, 16, 16)
    found = type("Without", (type(module),), {"online": names["online"]}).online(module, view)
    assert torch.equal(found, module.projector(module.encoder(view)))


def test_slims_early_features_are_those_before_its_last_block(settings):
    text = re.sub(r"\s+", " ", exercises("03_feature_extraction")[2])
    names = {"torch": torch, "encoder": build("slim", channels=1, image_size=16)}
    exec(re.search(r"`(early = [^`]+)`", text)[1], names)
    assert names["early"](torch.zeros(2, 1, 16, 16)).shape == (2, 48)


def test_few_images_positions_and_eight_bits_of_notebook_05(vit):
    few = lines("05_vit_overfit_check", 1, "few = ")[0]
    splits = SimpleNamespace(train=Labeled(torch.zeros(200, 1, 16, 16), torch.zeros(200).long()))
    names = {"Labeled": Labeled, "splits": splits, "model": vit}
    exec(few, names)
    assert len(names["few"]) == 100
    exec(lines("05_vit_overfit_check", 3, "model.positions")[0], names)
    assert not vit.positions.requires_grad and not vit.positions.any()
    (argument,) = lines("05_vit_overfit_check", 4, "optimizer=")
    assert eval(f"ClassifierRecipe(steps=1, {argument})",
                {"ClassifierRecipe": ClassifierRecipe}).optimizer == "adamw_8bit"


def test_the_noise_of_notebook_07_comes_at_once_and_corruptions_have_an_order(settings):
    names = {"settings": settings}
    exec(lines("07_noise_robustness", 2, "settings = ")[0], names)
    assert recipe_for("noise-byol", names["settings"]).ramp == (0, 0)
    order = " ".join(lines("07_noise_robustness", 3, "sorted(")[0].split())
    errors = {"noise-BYOL": {kind: torch.tensor(float(len(kind))) for kind in SEVERITIES},
              "BYOL": dict.fromkeys(SEVERITIES, torch.tensor(1.0))}
    ranked = eval(order, {"SEVERITIES": SEVERITIES, "errors": errors, "origin": "BYOL"})
    assert ranked[0] == min(SEVERITIES, key=len) and len(ranked) == len(SEVERITIES)


def test_the_fault_of_notebook_13_is_caught_by_two_checks(vit):
    faults = SimpleNamespace(FAULTS={}, become=become)
    exec(lines("13_is_my_network_right", 1, "faults.FAULTS")[0], {"faults": faults, "torch": torch})
    (fault,) = faults.FAULTS.values()
    images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = check_up(lambda: fault(build_vit("vit_digits", 16, 1, num_classes=10)), images,
                     torch.arange(64) % 10, lr=1e-3, max_steps=1, train_steps=1)
    caught = {result.check for result in found if not result.passed}
    assert {"gradient everywhere", "input passes through"} <= caught
    assert "norm per token" not in caught


def test_the_vit_of_notebook_14_is_untrained_and_another_class_followed(vit):
    encoder = build("vit_digits", channels=1, image_size=16)
    names = {"network": SimpleNamespace(encoder=encoder), "encoder": encoder, "build": build}
    before = encoder.backbone.patches.weight.clone()
    exec(lines("14_attention", 1, "network.encoder")[0], names)
    assert not torch.equal(encoder.backbone.patches.weight, before)
    some = torch.rand(4, 1, 16, 16)
    names = {"torch": torch, "some": some, "prepared": some, "backbone": encoder.backbone,
             "network": SimpleNamespace(head=vit.head),
             "attention_and_gradients": attention_and_gradients}
    names["classes"] = eval(lines("14_attention", 2, "torch.full")[0], names)
    maps, slopes, _ = attention_and_gradients(encoder.backbone, vit.head, some)
    others = eval(lines("14_attention", 2, "attention_and_gradients(")[0], names)
    assert torch.equal(maps[0], others[0][0]) and not torch.equal(slopes[0], others[1][0])
