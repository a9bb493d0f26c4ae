"""What each notebook does and costs before it runs: `python -m helpers doctor --plan`.

A notebook is taken for itself, on an empty machine, with the default of every field but the
settings. Its trainings come from the same settings and recipes as the notebook's own; a test counts
them in a run of all notebooks. `REST` is what was measured of the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from helpers.cli.cost import GIB, MACHINES, Machine, Shown, Training, features_seconds
from helpers.common import machine as here
from helpers.common.environment import GPU_DATASET, ROOT
from helpers.methods.build import crops_for, two_views
from helpers.methods.presets import recipe_for, short_steps
from helpers.methods.recipes import DINORecipe
from helpers.models.encoder import Encoder, build
from helpers.report.times import in_words, nearest, read_times
from helpers.settings import Settings, parse_label_counts
from helpers.training.released import released_name
from helpers.training.runs import Run
from helpers.transforms.views import DRAWINGS, view_for

BACKBONE_MB = 330  # of torchvision's ViT-B/16
CUDA = 0.6 * GIB  # bytes that a process takes before it computes anything
DECODED = 800  # photographs a second, by two cores


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
# Seconds on two CPU cores of all that is neither training nor the features of 07: imports,
# classifiers on features, maps, figures. Measured with digits, and with Imagenette at 48 pixels.
REST = {
    "01": (17, 0), "02": (13, 0), "03": (33, 0), "04": (15, 0), "05": (26, 0), "06": (40, 0),
    "07": (44, 0), "08": (43, 0), "09": (20, 0), "10": (12, 0), "11": (14, 0),
}


def data_of(settings: Settings) -> Data:
    """A named dataset, or a folder by the number of its files."""
    if settings.dataset in DATA:
        return DATA[settings.dataset]
    files = sum(len(names) for *_, names in os.walk(settings.dataset)) or 10_000  # or an archive
    return Data(max(1, files * 8 // 10), files // 10, 0, 1, 0.1)


class Plan(NamedTuple):
    """What one notebook will do: its trainings, the released weights it takes, megabytes to
    download, seconds and where they come from, bytes on the device."""

    number: str
    settings: Settings
    trainings: tuple[Training, ...]
    taken: tuple[str, ...]
    download: float
    seconds: float
    source: str
    memory: float

    @property
    def steps(self) -> int:
        """Steps of all trainings together."""
        return sum(training.times * training.steps for training in self.trainings)

    def __str__(self) -> str:
        chosen, data = self.settings, data_of(self.settings)
        count = sum(training.times for training in self.trainings)
        kind = "1 training of" if count == 1 else f"{count} trainings of together"
        trained = f"{kind} {self.steps:,} steps" if count else "no training"
        return "; ".join([
            f"Plan of notebook {self.number}: dataset {Path(chosen.dataset).name} at "
            f"{chosen.image_size} pixels, preset {chosen.preset}, encoder {chosen.encoder}"
            + "".join(f", released {name}" for name in self.taken), trained,
            f"downloads {self.download:,.0f} MB" if self.download else "downloads nothing",
            *([f"{self.memory / GIB:.1f} GiB of GPU memory"] if chosen.device != "cpu" else []),
            *([f"{data.disk:.1f} GB of disk"] if data.disk else []),
            f"about {in_words(self.seconds)} ({self.source})"])


def plan(number: str, settings: Settings, machine: Machine | None = None,
         root: Path = ROOT) -> Plan:
    """The plan of one notebook, "01" to "11", run alone with these settings.

    Args:
        machine: that it runs on; None is this one, for which measured times count.
    """
    work = Work(settings)
    WORK[number](work)
    on = machine or MACHINES["cpu" if settings.device == "cpu" else "t4"]
    data = data_of(settings)
    seconds = work.seconds(number, on)
    download = work.download + (data.download if number != "10" else 0)
    source = f"estimated for {on.title}, see helpers/cli/cost.py"
    rows = [] if machine else nearest(read_times(root), settings.device, settings.preset,
                                      Path(settings.dataset).name, here.cores())
    for row in rows:
        if row.notebook.startswith(number):
            seconds, source = row.seconds, f"measured on {row.machine_in_words}"
    memory = CUDA + max((training.memory(on) for training in work.trainings), default=0)
    return Plan(number, settings, tuple(work.trainings), tuple(work.taken), download, seconds,
                source, memory)


class Work:
    """What a notebook does, collected line by line as it does it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.download, self.features = settings, 0.0, 0
        self.channels = 1 if settings.dataset in DRAWINGS else 3
        self.trainings: list[Training] = []
        self.taken: list[str] = []

    def pretraining(self, method: str, steps: int | None = None, times: int = 1,
                    kept: bool = False, **changes: object) -> None:
        """Trainings by the method's recipe; `changes` are of the settings."""
        chosen = self.settings.replace(**changes)
        recipe = recipe_for(method, chosen, data_of(chosen).unlabeled)
        encoder = skeleton(chosen.encoder, self.channels, chosen.image_size)
        if isinstance(recipe, DINORecipe):
            crops = crops_for(recipe, chosen, encoder)
            shown = (Shown(side_of(crops.first, chosen), 2, 4, 1),
                     Shown(side_of(crops.local, chosen), recipe.local_crops, 3, 1))
        else:
            first, _ = two_views(recipe, chosen, encoder)
            shown = (Shown(side_of(first, chosen), 2, 4, 2),)
        self.trainings.append(Training(method, chosen.encoder, steps or recipe.steps,
                                       recipe.batch_size, shown, self.channels,
                                       chosen.image_size, times=times, kept=kept))

    def usual(self, method: str, **changes: object) -> None:
        """What `find_or_pretrain` comes to on an empty machine: released weights or a training."""
        chosen = self.settings.replace(**changes)
        recipe = recipe_for(method, chosen, data_of(chosen).unlabeled)
        name = released_name(Run(recipe, chosen), self.channels, chosen.image_size)
        if name:
            self.taken.append(name)
        else:
            self.pretraining(method, min(recipe.steps, short_steps(method, chosen)), kept=True,
                             **changes)

    def classifier(self, encoder: str, steps: int, times: int = 1, batch: int | None = None,
                   stem: str = "auto", method: str = "classifier") -> None:
        """Trainings with labels."""
        patch = skeleton(encoder, self.channels, self.settings.image_size).patch_size
        view = view_for(self.settings.dataset, self.settings.image_size, patch)
        side = side_of(view, self.settings)
        self.trainings.append(Training(method, encoder, steps, batch or self.settings.batch_size,
                                       (Shown(side, 1, 3, 1),), self.channels,
                                       self.settings.image_size, stem, times))

    def seconds(self, number: str, on: Machine) -> float:
        """Seconds of all of it on a machine."""
        data = data_of(self.settings)
        digits, photographs = REST[number]
        rest = digits if self.channels == 1 else photographs
        features = features_seconds(self.features, self.settings.encoder, self.channels,
                                    self.settings.image_size, on)
        reading = 0.0
        if number != "10" and self.channels == 3:
            reading = (data.unlabeled + data.test) / DECODED + data.download / data.speed
        return (on.start + rest * on.slower + reading + features
                + self.download / DATA["imagenette"].speed
                + sum(training.seconds(on) for training in self.trainings))


def _baseline(work: Work) -> None:
    chosen = work.settings
    work.classifier("resnet18", chosen.resnet_steps, 2, 2 * chosen.batch_size, chosen.stem)


def _byol(work: Work) -> None:
    work.pretraining("byol", kept=True)


def _fine_tuning(work: Work) -> None:
    chosen = work.settings
    work.usual("byol")
    rates = 2 * 2 * 2  # starts, pairs of rates, label subsets
    times = rates + 2 * len(chosen.label_counts) * chosen.draws
    work.classifier(chosen.encoder, chosen.finetune_steps, times)


def _vit(work: Work) -> None:
    from helpers.evaluation.diagnostics.faults import DATA_FAULTS, FAULTS
    from helpers.training.vit_starts import WAYS

    chosen, effort = work.settings, 1 if work.settings.vit == "vit_digits" else 4
    networks = 1 + len(FAULTS) + len(DATA_FAULTS)
    checks = 150 * effort + 4 * 65 * effort + networks * (60 + 40) * effort
    work.classifier(chosen.vit, chosen.scale(checks), batch=32, method="check-up")
    steps = max(2, chosen.supervised_steps * 4 // 5)
    work.classifier(chosen.vit, steps)
    start = chosen.vit
    if chosen.vit_start == "imagenet":
        start, work.download = "vit_base", BACKBONE_MB
    else:
        work.classifier(chosen.vit, max(2, steps * 3 // 4))
    work.classifier(start, chosen.finetune_steps, len(WAYS) * chosen.draws)


def _maps(work: Work) -> None:
    work.usual("byol")
    work.usual("noise-byol")


def _noise(work: Work) -> None:
    from helpers.evaluation.noise import sigmas_for
    from helpers.transforms.corruptions import SEVERITIES

    chosen = work.settings
    _maps(work)
    steps = max(2, int(chosen.second_share * chosen.pretrain_steps))
    work.usual("noise-byol", noise_sigma=0.5, noise_schedule="constant", pretrain_steps=steps)
    work.classifier(chosen.encoder, chosen.supervised_steps, 2)
    cases = len(sigmas_for(chosen.dataset)) + 5 * len(SEVERITIES)
    networks = 2 + 3  # classifiers and encoders
    if work.channels == 3:  # with digits they are in `REST`
        work.features = cases * chosen.noise_seeds * networks * data_of(chosen).test


def _images(work: Work) -> None:
    work.pretraining("dino", kept=True)
    small = dict(encoder="vit_digits", dino_steps=work.settings.scale(100))
    if not work.settings.encoder.startswith("vit"):
        work.pretraining("dino", **small)


def _labels(work: Work) -> None:
    from helpers.training.label_curve import SCRATCH_RATES

    chosen = work.settings
    work.usual("dino")
    work.usual("byol")
    counts = len(set(parse_label_counts(chosen.network_counts)))
    for network in chosen.networks:
        work.classifier(network, chosen.finetune_steps,
                        len(SCRATCH_RATES) + counts * chosen.network_draws)
    work.classifier(chosen.encoder, chosen.finetune_steps, 2 * counts * chosen.network_draws)
    recipe = recipe_for("dino", chosen)
    work.pretraining("dino", chosen.scale(recipe.steps // 4), times=2)


def _search(work: Work) -> None:
    from helpers.training.search import LOOKS

    chosen = work.settings
    steps = max(LOOKS, chosen.pretrain_steps // 10)
    work.pretraining("noise-byol", steps, chosen.trials + 2 * 3)  # three seeds for two recipes


WORK: dict[str, Callable[[Work], None]] = {
    "01": _baseline, "02": _byol, "03": lambda work: work.usual("byol"), "04": _fine_tuning,
    "05": _vit, "06": _maps, "07": _noise, "08": _images, "09": _labels, "10": lambda work: None,
    "11": _search,
}


def skeleton(name: str, channels: int, side: int) -> Encoder:
    """An encoder without memory for its weights, to be asked for its patch."""
    with torch.device("meta"):
        return build(name, channels=channels, image_size=side)


def side_of(view: object, settings: Settings) -> int:
    """Pixels along a side of what a view makes."""
    return getattr(view, "size", None) or settings.image_size


def settings_of(device: str | None, **choices: str | None) -> Settings:
    """The settings of a machine: this one's, or what "auto" comes to on a T4."""
    if device is None:
        return Settings.resolve(**choices)
    choices = {name: value for name, value in choices.items() if value}
    if device == "t4":
        usual = dict(dataset=GPU_DATASET, preset="gpu")
        return Settings.resolve(device="cpu", **usual | choices).replace(device="cuda")
    return Settings.resolve(device=device, **choices)


def report(device: str | None = None, **choices: str | None) -> str:
    """The plans of all notebooks, a line each, and how long they take together."""
    chosen, on = settings_of(device, **choices), MACHINES.get(device)
    plans = [plan(number, chosen, on) for number in WORK]
    total = in_words(sum(each.seconds for each in plans))
    return "\n".join([*map(str, plans), f"All {len(plans)}, each alone: about {total}."])
