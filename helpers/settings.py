"""Every choice in one place: what the notebooks ask for, resolved against the machine.

A preset is a row of numbers, not a branch in the code. A value is taken from the argument,
else from the environment (`FEWLABELS_<NAME>`), else from the preset and the machine.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.common.errors import UserError
from helpers.common.fields import number_of
from helpers.common.machine import devices
from helpers.common.markup import escaped
from helpers.common.names import (
    DATASETS,
    DEFAULT_IMAGE_SIZE,
    ENCODERS,
    NOISE_SCHEDULES,
    dataset_named,
    unquoted,
)
from helpers.common.split import Split

LARGEST_SEED = 2**31  # NumPy's generators end at 2**32, and some seeds are a few above the given
ALL_LABELS = 0  # in `label_counts`: every label there is
PREFIX = "FEWLABELS_"
# read elsewhere, the last by the tests
OTHER_VARIABLES = ("OFFLINE", "PRETRAINED", "WEIGHTS", "WEIGHTS_DIR", "HEADS", "WORKERS", "FUZZ")

DEFAULTS: dict[str, Any] = {
    "seed": 0, "noise_sigma": 0.0, "noise_schedule": "ramp", "precision": "auto",
    "run_dir": "runs", "results_dir": "results", "data_dir": "data",
}

# What single notebooks do where the preset says nothing else.
DETAILS: dict[str, Any] = dict(
    stem="imagenet",  # of notebook 01's ResNet18, see `helpers.models.resnet`
    vit="vit_digits", vit_start="other classes",  # of notebook 05
    second_share=0.6,  # of noise-BYOL's steps, for the second one of notebook 07
    linear_views=4,  # random views of each image that notebook 08's linear classifier is trained on
    networks=("slim",), network_counts="1 10 all",  # labels per class; of 09, from scratch
    trials=16, noise_images=10_000)  # of 11; of 07, how many test images get noise, at most
# What a preset costs and how well it can do. Steps are batches; noise is in normalised units.
PRESETS: dict[str, dict[str, Any]] = {
    # Only shows that everything runs; its numbers mean nothing.
    "smoke": dict(encoder="slim", batch_size=64, pretrain_steps=24, dino_steps=12,
                  supervised_steps=16, resnet_steps=4, finetune_steps=6, draws=2, noise_seeds=2,
                  label_counts=(1, 5, ALL_LABELS), noise_images=100, step_factor=0.03, trials=3),
    # Two CPU cores and the embedded digits: all notebooks in minutes.
    "quick": dict(encoder="slim", batch_size=64, pretrain_steps=1100, dino_steps=600, draws=3,
                  supervised_steps=500, resnet_steps=150, finetune_steps=100, step_factor=1.0,
                  label_counts=(1, 5, 10, 50, ALL_LABELS), noise_seeds=3, noise_images=500),
    # One small GPU such as Colab's T4 and photographs of 48 pixels: each notebook in minutes.
    "gpu": dict(encoder="slim", batch_size=128, pretrain_steps=10_000, dino_steps=3_000,
                supervised_steps=2_000, resnet_steps=500, finetune_steps=200, draws=3,
                label_counts=(1, 5, 10, 50, ALL_LABELS), noise_seeds=3, step_factor=1.0, trials=12,
                noise_images=2_000, stem="auto", vit="vit_tiny", second_share=0.4,
                networks=("slim", "resnet18", "mobilenet_v3_small")),
    # A GPU and photographs: about 100 epochs of STL-10's 105,000 unlabelled images.
    "full": dict(encoder="resnet18", batch_size=256, pretrain_steps=40_000, dino_steps=40_000,
                 supervised_steps=4_000, resnet_steps=4_000, finetune_steps=1_500, draws=5,
                 label_counts=(1, 5, 10, 50, ALL_LABELS), noise_seeds=5, step_factor=1.0,
                 stem="auto", vit="vit_tiny", vit_start="imagenet", second_share=1.0,
                 linear_views=20,
                 networks=("resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0",
                           "vit_small"),
                 network_counts="1 2 5 10 20 50 100 all", trials=40),
}
WHAT = {
    "smoke": "checks that everything runs; the numbers mean nothing",
    "quick": "minutes on two CPU cores",
    "gpu": "minutes on one GPU such as Colab's T4, photographs of 48 pixels",
    "full": "a GPU for hours, the sizes of the paper's small cousins",
}


@dataclass(frozen=True)
class Settings:
    """The resolved choices of one run. Make it with `Settings.resolve(...)`.

    `label_counts` are labels per class (0 = all labels); `draws` is how many random choices of
    the labelled images each few-label number is averaged over. `noise_sigma` is the one deviation
    that noise-BYOL trains with (0: the dataset's own range), `noise_schedule` when it comes.
    `precision` is that of trainings: "auto" (by machine and image size), "32", "bf16" or "fp16".
    `split` says how a folder of classes is divided, and comes as an argument only.
    """

    preset: str
    dataset: str
    device: str
    seed: int
    encoder: str
    image_size: int
    batch_size: int
    pretrain_steps: int
    dino_steps: int
    supervised_steps: int
    resnet_steps: int
    finetune_steps: int
    draws: int
    label_counts: tuple[int, ...]
    noise_seeds: int
    step_factor: float
    noise_sigma: float
    noise_schedule: str
    precision: str
    run_dir: Path
    results_dir: Path
    data_dir: Path
    stem: str
    vit: str
    vit_start: str
    second_share: float
    linear_views: int
    networks: tuple[str, ...]
    network_counts: str
    trials: int
    noise_images: int
    split: Split = Split()
    why: str = ""

    @classmethod
    def resolve(cls, **choices: Any) -> Settings:
        """Settings from `choices` (field=value); "auto", None and missing ones are worked out.

        Raises:
            UserError: for an unknown preset, device, encoder or variable, or a number that is not
                one.
        """
        _check_environment()
        split = choices.pop("split", Split())
        given = _given(choices)
        device = _device(given.get("device"))
        dataset, why = _dataset(given.get("dataset"), device)
        trains_on_gpu = device == "cuda" and dataset != "digits"
        preset = given.get("preset") or ("gpu" if trains_on_gpu else "quick")
        _check_known("preset", preset, PRESETS)
        values = {
            **DETAILS, **PRESETS[preset], **DEFAULTS,
            "image_size": _image_size(dataset, preset), **given,
            "preset": preset, "dataset": dataset, "device": device,
        }
        _check_known("encoder", values["encoder"], ENCODERS)
        _check_known("noise schedule", values["noise_schedule"], NOISE_SCHEDULES)
        if values["precision"] != "auto":
            from helpers.common.compute import check_precision  # slow; --help needs it not

            values["precision"] = check_precision(str(values["precision"]), device)
        typed = {name: _typed(name, value) for name, value in values.items()}
        return cls(**typed, split=split, why=why)

    @property
    def checkpoints(self) -> Path:
        """Where this dataset and preset keep their checkpoints."""
        name = Path(self.dataset).name if self.dataset not in DATASETS else self.dataset
        mark = f"-split{self.split.mark}" if self.split.mark else ""
        return self.run_dir / f"{name}-{self.preset}-seed{self.seed}{mark}"

    @property
    def changed(self) -> str:
        """What departs from the preset, as "encoder=resnet18; draws=5"; not seed or folders."""
        usual = {**PRESETS[self.preset], "noise_sigma": 0.0, "noise_schedule": "ramp",
                 "precision": "auto", "image_size": _image_size(self.dataset, self.preset),
                 "split": Split()}
        values = {name: getattr(self, name) for name in usual}
        return "; ".join(f"{name}={values[name]}" for name in usual if values[name] != usual[name])

    def scale(self, steps: int) -> int:
        """`steps`, or a few of them where the preset only checks that things run."""
        return max(2, int(steps * self.step_factor))

    def replace(self, **changes: Any) -> Settings:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of every setting, as text."""
        shown = {name: str(getattr(self, name)) for name in _names()}
        shown["preset"] += f" ({WHAT[self.preset]})"
        shown["dataset"] += f" ({self.why})"
        shown["label_counts"] = ", ".join(str(count or "all") for count in self.label_counts)
        if not self.noise_sigma:
            shown["noise_sigma"] = "the dataset's own range"
        if self.split.mark:
            shown["split"] = str(self.split)
        return list(shown.items())

    def __str__(self) -> str:
        return "\n".join(f"{name:<17} {value}" for name, value in self.rows())

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td style='text-align:left'><code>{name}</code></td>"
                        f"<td style='text-align:left'>{escaped(value)}</td></tr>"
                        for name, value in self.rows())
        said = f"Settings: {self.dataset}, {self.preset}, seed {self.seed}, on {self.device}"
        return f"<details><summary>{escaped(said)}</summary><table>{cells}</table></details>"


def _names() -> list[str]:
    """The settings that a person can choose by name."""
    return [field.name for field in dataclasses.fields(Settings)
            if field.name not in ("split", "why", "step_factor", *DETAILS)]


def _given(choices: dict[str, Any]) -> dict[str, Any]:
    """What the arguments say, else the environment; "auto" and None count as not given."""
    names = _names()
    unknown = [name for name in choices if name not in names]
    if unknown:
        raise UserError(
            f"unknown setting {', '.join(unknown)}: choose among {', '.join(names)}")
    given = {}
    for name in names:
        value = choices.get(name)
        if value is None or value == "auto":
            value = os.environ.get(f"{PREFIX}{name.upper()}") or None
        if value is not None and value != "auto":
            given[name] = value
    return given


def _check_environment() -> None:
    """Refuse a misspelt variable: nobody would notice that it counts for nothing."""
    known = [f"{PREFIX}{name.upper()}" for name in (*_names(), *OTHER_VARIABLES)]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? else " if close else ""
            raise UserError(f"the environment variable {name} means nothing: {hint}remove it")


def _check_known(what: str, value: Any, known: Iterable[str]) -> None:
    if value not in known:
        raise UserError(f"unknown {what} {value!r}: choose {', '.join(known)}")


def _typed(name: str, value: Any) -> Any:
    """`value` as the field's type; the environment only has text."""
    kind = {field.name: field.type for field in dataclasses.fields(Settings)}[name]
    if name == "label_counts":
        return parse_label_counts(value)
    if kind in ("int", "float"):
        least = 0 if kind == "float" or name == "seed" else 1
        return number_of(name, value, kind, least, LARGEST_SEED if name == "seed" else math.inf)
    return Path(value).expanduser() if kind == "Path" else value


def parse_label_counts(value: Any, name: str = "label_counts") -> tuple[int, ...]:
    """Labels per class from "1,5,all", "1 5 all", a list or one number; 0 stands for all.

    `name` is what an error calls them.

    Raises:
        UserError: a word is neither a whole number above zero nor "all".
    """
    if isinstance(value, str):
        words = value.replace(",", " ").split()
    else:
        words = value if isinstance(value, list | tuple) else [value]
    texts = ["all" if word == ALL_LABELS else str(word).strip() for word in words]
    if not texts or not all(text == "all" or (text.isdecimal() and int(text) > 0)
                            for text in texts):
        raise UserError(
            f"{name} must be whole numbers above zero and the word all, such as 1,5,all, "
            f"not {value!r}")
    return tuple(ALL_LABELS if text == "all" else int(text) for text in texts)


def _image_size(dataset: str, preset: str) -> int:
    """The side in pixels that is taken where nobody asks for another."""
    own = 96 if preset == "full" else 48  # of a folder
    usual = DEFAULT_IMAGE_SIZE.get(dataset, own)
    return min(usual, own) if preset == "gpu" else usual


def _device(wanted: str | None) -> str:
    here = devices()
    if wanted is None:
        return "cuda" if "cuda" in here else "cpu"
    if wanted not in here:
        raise UserError(f"device {wanted!r} is not here: choose {', '.join(here)}")
    return wanted


def _dataset(wanted: str | None, device: str) -> tuple[str, str]:
    """The dataset and why it was taken."""
    from helpers.common.environment import default_dataset, locate  # slow; --help needs neither

    if wanted is None:
        return default_dataset(device)
    text = unquoted(wanted)
    return dataset_named(text) or str(locate(text) or text), "as asked"
