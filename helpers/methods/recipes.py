"""What each method trains with, one class a method; change one by `recipe.replace(lr=0.1)`.

Importing this stays free of torch; `helpers.methods.build` makes of a recipe what trains.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from helpers.common.fields import Ascending, Range, check_names, checked

Count = Annotated[int, Range(1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields, with their limits."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all recipes have. A wrong name, type or value is a UserError of one line."""

    steps: Count  # batches in the whole training; all schedules end there
    batch_size: Count = 64  # images, of all processes together
    optimizer: Literal["adamw", "adamw_8bit", "sgd", "lars"] = "adamw"
    sgd_momentum: Share = 0.9  # with optimizer: sgd or lars only
    lr: Positive = 2e-3  # the peak of the learning rate
    weight_decay: NotNegative = 1e-4  # of weights, not of biases and normalisation
    warmup: Share = 0.08  # of the steps, in which the rate rises evenly to its peak
    # what comes then: down a half cosine, a plateau with a fall at the end, or a plateau
    schedule: Literal["cosine", "stable", "constant"] = "cosine"

    def __new__(cls, *_: Any, **values: Any) -> Recipe:
        check_names(values, field_types(cls), cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, hint in field_types(type(self)).items():
            value = checked(name, getattr(self, name), hint)
            if isinstance(value, dict):  # as a file has them
                value = {key: list(one) if isinstance(one, tuple) else one
                         for key, one in value.items()}
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some fields changed."""
        check_names(changes, field_types(type(self)), type(self).__name__)
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(Recipe):
    """Training with labels; the encoder may have been trained already and then wants a smaller
    rate."""

    head_lr: Positive | None = None  # the head's own peak rate; None: the encoder's
    head: Literal["linear", "mlp"] = "linear"  # mlp: 512-128-classes, as the Self-Learner project
    patience: Count | None = None  # evaluations without a lower validation loss that end it


@dataclass(frozen=True, kw_only=True)
class BYOLRecipe(Recipe):
    """BYOL (Grill et al. 2020); with `noise` it is the noise-BYOL of the ViT-BYOL project."""

    hidden_dim: Count = 256  # of projector and predictor; 4096 in the paper
    projection_dim: Count = 64  # 256 in the paper
    ema: Share = 0.98  # the target's momentum at the first step
    ema_end: Share = 1.0  # and at the last, along a half cosine (section 3.2)
    # smallest and largest deviation of noise in the second view, normalised units; None: no noise
    noise: Annotated[tuple[NotNegative, NotNegative], Ascending()] | None = None
    # The views' noise grows from none to all between these shares of the training; (0, 0) is all
    # of it from the first step on. Strong noise then ruins the representation: there is nothing
    # yet to hold on to.
    ramp: Annotated[tuple[Share, Share], Ascending()] = (0.15, 0.65)
    views: dict | None = None  # fields of the dataset's view that differ, such as angle=25

    @property
    def method(self) -> str:
        """Its name on the command line."""
        return "byol" if self.noise is None else "noise-byol"



@dataclass(frozen=True, kw_only=True)
class DINORecipe(Recipe):
    """DINO (Caron et al. 2021); the defaults are the paper's for ViTs."""

    lr: Positive = 5e-4  # for batches of 256 (section 3.2)
    warmup: Share = 0.1
    weight_decay: tuple[NotNegative, NotNegative] = (0.04, 0.4)  # first and last step, half cosine
    hidden_dim: Count = 2048  # of the heads
    bottleneck_dim: Count = 256
    output_dim: Count = 65_536  # K, the invented classes
    # In the heads' hidden layers. With few steps a convolutional encoder needs it: without, all
    # outputs become uniform. Not for ViTs.
    batch_norm: bool = False
    ema: Share = 0.996  # the teacher's momentum at the first step
    ema_end: Share = 1.0  # and at the last, along a half cosine
    temperature: tuple[Positive, Positive] = (0.04, 0.07)  # of the teacher: first step, and from
    temperature_warmup: Share = 0.3  # this share of the training on
    center_momentum: Share = 0.9  # of the centre of the teacher's outputs; 1: no centring
    clip: Positive = 3.0  # largest norm of a tensor's gradient, as in the paper's code
    frozen_epochs: NotNegative = 1.0  # in which the head's last layer stays as it is
    local_crops: Count = 8  # small crops of each image; 6 to 10 in the paper
    # area of a global crop, shares of the image: from 0.4 for ViTs, from 0.14 for ResNets
    global_scale: Annotated[tuple[Share, Share], Ascending()] = (0.4, 1.0)
    # area of a local crop; None: photographs from 0.05 up to the global ones, drawings 0.25 to 0.6
    local_scale: Annotated[tuple[Share, Share], Ascending()] | None = None
    views: dict | None = None  # fields of the dataset's view that differ, such as jitter_chance=0.5

    method: ClassVar[str] = "dino"



PRETRAINING = (BYOLRecipe, DINORecipe)  # their fields are options of `pretrain`
