"""The recipes that the presets train with: which numbers for which encoder and dataset."""

from __future__ import annotations

from helpers.common.errors import UserError
from helpers.common.names import DATASETS, METHODS
from helpers.methods.recipes import BYOLRecipe, ClassifierRecipe, DINORecipe
from helpers.settings import PRESETS, Settings

FINE_ENCODERS = ("slim_fine", "slim_deep", "slim_joined")
SMALL_ENCODERS = ("slim", *FINE_ENCODERS, "vit_digits")
# chosen on validation, digits
SMALL_BYOL = dict(hidden_dim=256, projection_dim=64, lr=2e-3, ema=0.98)
SLIM_EMA = 0.96  # of slim without noise (benchmarks/digits_recipe.py)
# On photographs a CPU takes few steps; a target that moves faster learns more in them
# (benchmarks/imagenette.py).
SMALL_PHOTO_EMA = 0.9
# The fine ones go on from a smaller one's weights, so at half the rate, and their views have two
# thirds of the image's side, as slim's have. The fall of the rate may begin at any step, should
# time run out.
FINE_BYOL = dict(lr=1e-3, schedule="stable", warmup=0.02)
FINE_VIEWS = dict(scale=(0.2, 1.0), blur=0.0, solarize=0.0)
# Heads of Grill et al. 2020; the rate is for batches of 256 and grows with them, as theirs does
# (section 3.3).
LARGE_BYOL = dict(hidden_dim=4096, projection_dim=256, lr=1e-3, ema=0.99)
# Chosen on validation with digits.
SMALL_DINO = dict(hidden_dim=256, bottleneck_dim=64, output_dim=512, lr=2e-3, ema=0.99,
                  weight_decay=(1e-4, 1e-4), temperature=(0.04, 0.04), batch_norm=True,
                  local_crops=6)
FINE_DINO = dict(lr=1e-3, global_scale=FINE_VIEWS["scale"])
# What a ResNet has instead of the defaults, as in the paper's repository, but for the outputs:
# 65,536 are the paper's for ImageNet's million images, and most of a small network's time.
RESNET_DINO = dict(weight_decay=(1e-4, 1e-4), batch_norm=True, global_scale=(0.14, 1.0),
                   output_dim=4096)
# deviations noise-BYOL trains with, normalised units, chosen on validation
NOISE = {"digits": (0.6, 2.4)}
PHOTO_NOISE = (0.0, 1.5)  # the range that the ViT-BYOL project swept
# of the slim encoder, the steps as a multiple: a harder task; on validation
NOISE_LR, NOISE_STEPS = 4e-3, 1.5
# and of the fine ones, which go on from what knows clean images: the slower target keeps that; in
# trials of 300 steps, on validation
FINE_NOISE = dict(lr=2e-3, ema=0.99)
# Between which shares of the training the noise grows from none to all. The ViT-BYOL project has
# the last two.
NOISE_RAMPS = {"ramp": (0.05, 0.3), "constant": (0.0, 0.0), "linear": (0.0, 1.0)}
# Rates of a pretrained encoder and of its new head where nobody compares several
FINE_TUNING = dict(lr=5e-4, head_lr=5e-3)
# Peak rates of an encoder among which notebooks 04 and 09 choose, for every start alike, and the
# one rate of the head, which always starts from nothing
RATES = (1e-4, 1e-3, 5e-3, 2e-2, 1e-1)
HEAD_RATE = 5e-3
# Passes over a folder's images, at most: the longest training of lightly's Imagenette benchmark.
MOST_EPOCHS = 800


def recipe_for(method: str, settings: Settings,
               images: int | None = None) -> BYOLRecipe | DINORecipe:
    """The recipe of a method for these settings.

    Args:
        images: of a folder, which bounds the steps to `MOST_EPOCHS`: a few photographs would be
            learned by heart.

    Raises:
        UserError: the method is none of `METHODS`.
    """
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}: choose {', '.join(METHODS)}")
    recipe = _dino(settings) if method == "dino" else _byol(settings)
    if method == "noise-byol":
        recipe = _with_noise(recipe, settings)
    elif method == "byol" and settings.encoder == "slim" and recipe.ema == SMALL_BYOL["ema"]:
        recipe = recipe.replace(ema=SLIM_EMA)
    return recipe if images is None else within_epochs(recipe, settings.dataset, images)


def within_epochs(recipe: BYOLRecipe | DINORecipe, dataset: str,
                  images: int) -> BYOLRecipe | DINORecipe:
    """The recipe, for a folder with no more steps than `MOST_EPOCHS` over its images take."""
    if dataset in DATASETS:
        return recipe
    most = max(1, MOST_EPOCHS * images // recipe.batch_size)
    return recipe.replace(steps=min(recipe.steps, most))


def short_steps(method: str, settings: Settings) -> int:
    """For how many steps, at most, an encoder is trained that is needed and was not made yet: those
    of the preset `quick`, or above it of `gpu`."""
    short = PRESETS["quick" if settings.preset in ("smoke", "quick") else "gpu"]
    few = settings.replace(pretrain_steps=short["pretrain_steps"], dino_steps=short["dino_steps"])
    return recipe_for(method, few).steps


def fine_tuning(settings: Settings, **changes: float | str) -> ClassifierRecipe:
    """How a pretrained encoder is trained on: as many steps as the settings say."""
    numbers = dict(FINE_TUNING, steps=settings.finetune_steps, batch_size=settings.batch_size)
    return ClassifierRecipe(**{**numbers, **changes})


def usual_noise(dataset: str) -> tuple[float, float]:
    """The smallest and largest deviation that noise-BYOL trains with on a dataset."""
    return NOISE.get(dataset, PHOTO_NOISE)


def _byol(settings: Settings) -> BYOLRecipe:
    from helpers.transforms.views import DRAWINGS

    size = dict(steps=settings.pretrain_steps, batch_size=settings.batch_size)
    if settings.encoder not in SMALL_ENCODERS:
        large = BYOLRecipe(**size, **LARGE_BYOL)
        return large.replace(lr=large.lr * settings.batch_size / 256)
    small = BYOLRecipe(**size, **SMALL_BYOL)
    if settings.dataset in DRAWINGS:
        return small
    if settings.encoder in FINE_ENCODERS:
        small = small.replace(**FINE_BYOL, views=FINE_VIEWS | _fine_side(settings))
    return small.replace(ema=SMALL_PHOTO_EMA)


def _with_noise(plain: BYOLRecipe, settings: Settings) -> BYOLRecipe:
    sigma = settings.noise_sigma
    noise = (sigma, sigma) if sigma else usual_noise(settings.dataset)
    noisy = plain.replace(noise=noise, ramp=NOISE_RAMPS[settings.noise_schedule])
    if settings.encoder in FINE_ENCODERS and plain.views:
        return noisy.replace(**FINE_NOISE)
    if settings.encoder != "slim":
        return noisy
    return noisy.replace(lr=NOISE_LR, steps=round(NOISE_STEPS * settings.pretrain_steps))


def _dino(settings: Settings) -> DINORecipe:
    from helpers.transforms.views import DRAWINGS

    size = dict(steps=settings.dino_steps, batch_size=settings.batch_size)
    if settings.encoder in FINE_ENCODERS and settings.dataset not in DRAWINGS:
        views = dict(blur=0.0, solarize=0.0) | _fine_side(settings)
        return DINORecipe(**size, **SMALL_DINO | FINE_DINO, views=views)
    if settings.encoder in SMALL_ENCODERS:
        return DINORecipe(**size, **SMALL_DINO)
    own = {} if settings.encoder.startswith("vit") else RESNET_DINO
    large = DINORecipe(**size, **own)
    return large.replace(lr=large.lr * settings.batch_size / 256)  # section 3.2


def _fine_side(settings: Settings) -> dict[str, int]:
    return dict(size=settings.image_size // 24 * 16)


def title(method: str, start: str = "scratch") -> str:
    """What plots and tables call a method, and where it started if that was not random weights."""
    return METHODS[method] if start == "scratch" else f"{METHODS[method]} from {start}"
