"""What each notebook does: its trainings and the weights that it takes, before it runs.

A notebook is taken for itself, on an empty machine, with the default of every field but the
settings. All comes from the settings and recipes that the notebook itself has; a test counts the
trainings in a run of all notebooks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from helpers.cli.cost import Shown, Training
from helpers.common.names import DATASETS
from helpers.data.listing import OF_AN_ARCHIVE, count_files
from helpers.methods.build import crops_for, two_views
from helpers.methods.presets import RATES, recipe_for, short_steps
from helpers.methods.recipes import DINORecipe
from helpers.models.encoder import Encoder, build
from helpers.models.weights import registry
from helpers.settings import Settings, parse_label_counts
from helpers.training.best import passes_for
from helpers.training.released import released_name
from helpers.training.runs import Run
from helpers.transforms.views import DRAWINGS, view_for

BACKBONE_MB = 330  # of torchvision's ViT-B/16
# A ViT of patches of 14 has as many tokens of an image of 224 pixels as one of 16 has of this side.
SAME_TOKENS = 256


class Data(NamedTuple):
    """A dataset: images without labels and of the test, megabytes to download and a second that
    its server gives, gigabytes of disk."""

    unlabeled: int
    test: int
    download: float
    speed: float
    disk: float


DATA = {
    "digits": Data(1_097, 500, 0, 1, 0.0),
    "imagenette": Data(8_522, 3_925, 99, 10, 0.4),
    "stl10": Data(104_500, 8_000, 2_640, 3, 6.5),
    "cifar10": Data(45_000, 10_000, 170, 0.075, 0.4),
    "fashion-mnist": Data(54_000, 10_000, 30, 5, 0.2),
}


class Work:
    """What a notebook does, collected line by line: trainings, other loops over images, released
    weights that it takes, megabytes of weights to download.

    Args:
        best: the best listed encoder that can be run in minutes, of how many images pass through
            it, see `helpers.training.best`; "" is none.
    """

    def __init__(self, settings: Settings, best: Callable[[int], str] = lambda passes: "") -> None:
        self.settings, self.data, self.best = settings, data_of(settings), best
        self.channels = 1 if settings.dataset in DRAWINGS else 3
        self.trainings: list[Training] = []
        self.loops: list[Training] = []
        self.taken: list[str] = []
        self.download = 0.0

    def pretraining(self, *arguments: object, **changes: object) -> None:
        """Trainings as `by_recipe` has them."""
        self.trainings.append(self.by_recipe(*arguments, **changes))

    def page(self, method: str, steps: int, times: int = 1) -> None:
        """Trainings of the method that a notebook writes, in a loop of its own."""
        self.loops.append(replace(self.by_recipe(method, steps, times), recorded=False))

    def by_recipe(self, method: str, steps: int | None = None, times: int = 1,
                  kept: bool = False, **changes: object) -> Training:
        """Trainings by the method's recipe; `changes` are of the settings."""
        chosen = self.settings.replace(**changes)
        recipe = recipe_for(method, chosen, self.data.unlabeled)
        encoder = skeleton(chosen.encoder, self.channels, chosen.image_size)
        if isinstance(recipe, DINORecipe):
            crops = crops_for(recipe, chosen, encoder)
            shown = (Shown(side_of(crops.first, chosen), 2, 4, 1, 2),
                     Shown(side_of(crops.local, chosen), recipe.local_crops, 3, 1))
        else:
            shown = (Shown(side_of(two_views(recipe, chosen, encoder)[0], chosen), 2, 4, 2, 2),)
        return Training(
            method, chosen.encoder, steps or recipe.steps, recipe.batch_size, shown, self.channels,
            chosen.image_size, times=times, kept=kept, recorded=True)

    def usual(self, method: str, any_method: bool = False, **changes: object) -> None:
        """What `find_or_pretrain` comes to on an empty machine: released weights or a training."""
        chosen = self.settings.replace(**changes)
        recipe = recipe_for(method, chosen, self.data.unlabeled)
        name = released_name(Run(recipe, chosen), self.channels, chosen.image_size,
                             any_method=any_method)
        if name:
            self.taken.append(name)
            return
        steps = min(recipe.steps, short_steps(method, chosen))
        self.pretraining(method, steps, kept=True, **changes)

    def best_for(self, use: str) -> str:
        """The best listed encoder for a folder of photographs, as `chosen_encoder` takes it."""
        chosen = self.settings
        if chosen.dataset in DATASETS or chosen.preset == "smoke":
            return ""
        images = self.data.unlabeled + 2 * self.data.test
        name = self.best(passes_for(use, images, chosen))
        if name:
            self.taken.append(name)
            self.download += registry.entry(name).megabytes or 0
        return name

    def large(self, name: str, steps: int, times: int = 1, passes: int = 3) -> Training:
        """Steps of a listed ViT, to which images are enlarged; `passes` as `Shown` has them."""
        shown = (Shown(SAME_TOKENS, 1, passes, 1),)
        return Training("classifier", registry.entry(name).encoder, steps, self.settings.batch_size,
                        shown, 3, SAME_TOKENS, times=times)

    def classifier(self, encoder: str, steps: int, times: int = 1, **changes: object) -> None:
        """Trainings with labels; `changes` are of what stands here."""
        self.trainings.append(self.loop(encoder, steps, times=times, **changes))

    def loop(self, encoder: str, steps: int, **changes: object) -> Training:
        """Steps that show the network one view forward and backward."""
        chosen = self.settings
        patch = skeleton(encoder, self.channels, chosen.image_size).patch_size
        view = view_for(chosen.dataset, chosen.image_size, patch)
        return replace(Training("classifier", encoder, steps, chosen.batch_size,
                                (Shown(side_of(view, chosen), 1, 3, 1),), self.channels,
                                chosen.image_size), **changes)


def _baseline(work: Work) -> None:
    chosen = work.settings
    work.classifier("resnet18", chosen.resnet_steps, 2, batch=2 * chosen.batch_size,
                    stem=chosen.stem)


def _byol(work: Work) -> None:
    chosen = work.settings
    work.page("byol", chosen.scale(300))
    work.pretraining("byol", 5, batch_size=32)  # beside which the page is checked
    work.pretraining("byol", kept=True)
    work.pretraining("byol", chosen.scale(400))  # collapses


def _features(work: Work) -> None:
    name = work.best_for("features")
    if not name:
        work.usual("byol", any_method=True)
        return
    images = passes_for("features", work.data.unlabeled + 2 * work.data.test, work.settings)
    work.loops.append(work.large(name, images // work.settings.batch_size, passes=1))


def _fine_tuning(work: Work) -> None:
    chosen = work.settings
    times = 2 * len(RATES) + 2 * len(chosen.label_counts) * chosen.draws
    name = work.best_for("fine-tuning")
    if name:
        work.trainings.append(work.large(name, chosen.finetune_steps, times))
        return
    work.usual("byol", any_method=True)
    work.classifier(chosen.encoder, chosen.finetune_steps, times)


def _vit(work: Work) -> None:
    from helpers.training.vit_starts import WAYS

    chosen = work.settings
    work.loops.append(work.loop(chosen.vit, chosen.scale(75 * _effort(work))))  # one batch
    steps = max(2, chosen.supervised_steps * 4 // 5)
    for network in (chosen.vit, "slim", "mobilenet_v3_small"):
        work.classifier(network, steps)
    start = chosen.vit
    if chosen.vit_start == "imagenet":
        start, work.download = "vit_base", BACKBONE_MB
    else:
        work.classifier(chosen.vit, max(2, steps * 3 // 4))
    work.classifier(start, chosen.finetune_steps, len(WAYS) * chosen.draws)


def _check_up(work: Work) -> None:
    from helpers.evaluation.diagnostics.faults import DATA_FAULTS, FAULTS

    chosen, networks = work.settings, 1 + len(FAULTS) + len(DATA_FAULTS) + 3
    checks = (4 * 65 + networks * (60 + 40)) * _effort(work)
    # half of them, as they end when the loss is small
    work.loops.append(work.loop(chosen.vit, chosen.scale(checks // 2), batch=32))


def _attention(work: Work) -> None:
    work.classifier(work.settings.vit, max(2, work.settings.supervised_steps * 4 // 5))


def _dino_page(work: Work) -> None:
    steps = work.settings.scale(120)
    work.page("dino", steps, times=3)
    work.pretraining("dino", 5, batch_size=32)  # beside which the page is checked


def _effort(work: Work) -> int:
    """How many times longer the checks of a ViT are than with digits."""
    return 1 if work.settings.vit == "vit_digits" else 4


def _maps(work: Work) -> None:
    work.usual("byol", any_method=True)
    work.usual("noise-byol")


def _noise(work: Work) -> None:
    from helpers.evaluation.noise import sigmas_for
    from helpers.transforms.corruptions import SEVERITIES

    chosen = work.settings
    _maps(work)
    steps = max(2, int(chosen.second_share * chosen.pretrain_steps))
    constant = dict(noise_sigma=0.5, noise_schedule="constant")
    work.usual("noise-byol", **constant, pretrain_steps=steps)
    if chosen.dataset == "digits" and not chosen.encoder.startswith("vit"):
        steps = chosen.scale(150)  # the ViT beside it
        work.usual("noise-byol", encoder="vit_digits", pretrain_steps=steps)
        work.usual("noise-byol", encoder="vit_digits", **constant,
                   pretrain_steps=max(2, int(chosen.second_share * steps)))
    work.classifier(chosen.encoder, chosen.supervised_steps, 2)
    cases = len(sigmas_for(chosen.dataset)) + 5 * len(SEVERITIES)
    networks = 2 + 3  # classifiers and encoders
    if work.channels == 3:  # with digits they are in `plan.REST`
        shown = (Shown(chosen.image_size, 1, 1, 1),)  # half precision on a GPU, as in a training
        tested = min(work.data.test, chosen.noise_images)
        images = cases * chosen.noise_seeds * networks * tested
        work.loops.append(work.loop(chosen.encoder, images // 256, batch=256, shown=shown))


def _images(work: Work) -> None:
    work.pretraining("dino", kept=True)
    small = dict(encoder="vit_digits", dino_steps=work.settings.scale(100))
    if not work.settings.encoder.startswith("vit"):
        work.pretraining("dino", **small)


def _labels(work: Work) -> None:
    chosen = work.settings
    work.usual("dino")
    work.usual("byol")
    counts = len(set(parse_label_counts(chosen.network_counts)))
    for network in chosen.networks:
        work.classifier(network, chosen.finetune_steps,
                        len(RATES) + counts * chosen.draws)
    times = 2 * (len(RATES) + counts * chosen.draws)
    work.classifier(chosen.encoder, chosen.finetune_steps, times)
    recipe = recipe_for("dino", chosen)
    work.pretraining("dino", chosen.scale(recipe.steps // 4), times=2)


def _search(work: Work) -> None:
    from helpers.training.search import EVALUATIONS

    chosen = work.settings
    steps = max(EVALUATIONS, chosen.pretrain_steps // 10)
    work.pretraining("noise-byol", steps, chosen.trials + 2 * 3)  # three seeds for two recipes


WORK: dict[str, Callable[[Work], None]] = {
    "01": _baseline, "02": _byol,
    "03": _features, "04": _fine_tuning,
    "05": _vit, "06": _maps, "07": _noise, "08": _images, "09": _labels, "10": lambda work: None,
    "11": _search, "12": lambda work: work.usual("byol"),
    "13": _check_up, "14": _attention, "15": _dino_page,
}


def skeleton(name: str, channels: int, side: int) -> Encoder:
    """An encoder without memory for its weights, to be asked for its patch."""
    with torch.device("meta"):
        return build(name, channels=channels, image_size=side)


def side_of(view: object, settings: Settings) -> int:
    """Pixels along a side of what a view makes."""
    return getattr(view, "size", None) or settings.image_size


def data_of(settings: Settings) -> Data:
    """A named dataset, or a folder by the number of its files."""
    if settings.dataset in DATA:
        return DATA[settings.dataset]
    files = count_files(settings.dataset) or OF_AN_ARCHIVE
    return Data(max(1, files * 8 // 10), files // 10, 0, 1, 0.1)
