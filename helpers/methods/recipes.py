"""What each method trains with, one class a method; change one by `recipe.replace(lr=0.1)`.

Importing this stays free of torch: the methods are imported where they are built.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from helpers.common.errors import UserError
from helpers.common.fields import Range, check_names, checked
from helpers.common.names import METHODS
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.transforms import views
from helpers.transforms.multicrop import crops_for

Count = Annotated[int, Range(1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields, with their limits."""
    return get_type_hints(cls, include_extras=True)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all recipes have. A wrong name, type or value is a UserError of one line."""

    steps: Count  # batches in the whole training; all schedules end there
    batch_size: Count = 64  # images, of all processes together
    optimizer: Literal["adamw", "adamw_8bit", "sgd"] = "adamw"
    sgd_momentum: Share = 0.9  # of optimizer: sgd only
    lr: Positive = 2e-3  # the peak of the learning rate
    weight_decay: NotNegative = 1e-4  # of weights, not of biases and normalisation
    warmup: Share = 0.08  # of the steps, in which the rate rises evenly to its peak
    # what comes then: down a half cosine, a plateau with a fall at the end, or nothing
    schedule: Literal["cosine", "stable", "constant"] = "cosine"

    def __new__(cls, *_: Any, **values: Any) -> Recipe:
        check_names(values, field_types(cls), cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, hint in field_types(type(self)).items():
            object.__setattr__(self, name, checked(name, getattr(self, name), hint))

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
    patience: Count | None = None  # looks at validation without a lower loss that end it; None: off


# Rates of a pretrained encoder and of its new head, one of two pairs that notebook 04 compares
FINE_TUNING = dict(lr=5e-4, head_lr=5e-3)


def fine_tuning(settings: Settings, **changes: Any) -> ClassifierRecipe:
    """How a pretrained encoder is trained on: as many steps as the settings say."""
    numbers = dict(FINE_TUNING, steps=settings.finetune_steps, batch_size=settings.batch_size)
    return ClassifierRecipe(**{**numbers, **changes})


# chosen on validation, digits
SMALL_RECIPE = dict(hidden=256, projection=64, lr=2e-3, momentum=0.98)
# On photographs a CPU takes few steps; a target that moves faster learns more in them
# (benchmarks/imagenette.py).
SMALL_PHOTO_RECIPE = dict(SMALL_RECIPE, momentum=0.9)
# Heads of Grill et al. 2020; the rate is for batches of 256 and grows with them, as theirs does
# (section 3.3).
LARGE_RECIPE = dict(hidden=4096, projection=256, lr=1e-3, momentum=0.99)
# DINO's heads, rates and schedules. The small ones were chosen on validation with digits; those of
# the ViT are the defaults of `DINO`, which are the paper's; ResNets differ in their decay and crops
# as in the paper's repository. With few steps a convolutional encoder needs the normalisation in
# its head: without, all answers become uniform.
DINO_SMALL = dict(hidden=256, bottleneck=64, outputs=512, lr=2e-3, momentum=0.99,
                  weight_decay=(1e-4, 1e-4), temperature=(0.04, 0.04), batch_norm=True, parts=6,
                  border=0.4)
DINO_VIT = dict(parts=8, border=0.4)
DINO_RESNET = dict(weight_decay=(1e-4, 1e-4), batch_norm=True, parts=8, border=0.14)
# deviations noise-BYOL trains with, normalised units, chosen on validation
NOISE = {"digits": (0.6, 2.4)}
# of the miniature, the steps as a multiple: a harder task; on validation
NOISE_LR, NOISE_STEPS = 4e-3, 1.5
PHOTO_NOISE = (0.0, 1.5)  # the range that the ViT-BYOL project swept
# Between which shares of the training the noise grows from none to all. The ViT-BYOL project has
# the last two.
NOISE_RAMPS = {"ramp": (0.05, 0.3), "constant": (0.0, 0.0), "linear": (0.0, 1.0)}


def recipe(method: str, settings: Settings) -> dict[str, Any]:
    """The numbers of a method for these settings; see the constants above for where they come
    from."""
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}: choose {', '.join(METHODS)}")
    small = settings.encoder in ("slim", "vit_digits")
    if method == "dino":
        large = {**(DINO_VIT if settings.encoder.startswith("vit") else DINO_RESNET),
                 "lr": 5e-4 * settings.batch_size / 256}  # section 3.2
        return {
            **(DINO_SMALL if small else large), "steps": settings.dino_steps,
            "batch_size": settings.batch_size
        }
    base = LARGE_RECIPE if not small else SMALL_RECIPE if settings.dataset in views.DRAWINGS else SMALL_PHOTO_RECIPE
    numbers = {**base, "steps": settings.pretrain_steps, "batch_size": settings.batch_size}
    if not small:
        numbers["lr"] *= settings.batch_size / 256
    if method == "noise-byol":
        sigma = settings.noise_sigma
        numbers["noise"] = (sigma, sigma) if sigma else NOISE.get(settings.dataset, PHOTO_NOISE)
        numbers["ramp"] = NOISE_RAMPS[settings.noise_schedule]
        if settings.encoder == "slim":
            numbers |= dict(lr=NOISE_LR, steps=round(NOISE_STEPS * settings.pretrain_steps))
    return numbers


def two_views(method: str, settings: Settings, encoder: Encoder | None = None) -> tuple:
    """The pair of views of a method: both augmented, and for noise-BYOL the second one noisy as
    well.

    Photographs that are large enough for a blur get the two that differ (Grill et al. 2020,
    appendix B); others twice the same. `encoder` is asked for its patch size; without one it has
    none.
    """
    view = views.view_for(settings.dataset, settings.image_size,
                          encoder.patch_size if encoder else 1)
    first = second = view
    if isinstance(view, views.PhotoView) and view.blur:
        first, second = replace(view, blur=1.0), replace(view, blur=0.1, solarize=0.2)
    noise = recipe(method, settings).get("noise")
    return first, views.Noisy(second, noise) if method == "noise-byol" else second


def learner(method: str, encoder: Encoder, settings: Settings, epoch: float) -> Any:
    """The module that trains `encoder` by a method; `epoch` is how many batches hold every image
    once."""
    from helpers.methods.byol import BYOL
    from helpers.methods.dino import DINO

    numbers = recipe(method, settings)
    numbers.pop("batch_size")
    if method == "dino":
        crops = crops_for(settings.dataset, settings.image_size,
                          step=getattr(encoder.backbone, "patch_size",
                                       8), parts=numbers.pop("parts"), border=numbers.pop("border"))
        return DINO(encoder, crops, frozen=round(epoch), **numbers)
    numbers.pop("noise", None)
    return BYOL(encoder, two_views(method, settings, encoder), **numbers)


def title(method: str, start: str = "scratch") -> str:
    """What plots and tables call a method, and where it started if that was not random weights."""
    return METHODS[method] if start == "scratch" else f"{METHODS[method]} from {start}"


def steps_setting(method: str) -> str:
    """The setting that says for how many steps a method is trained."""
    return "dino_steps" if method == "dino" else "pretrain_steps"
