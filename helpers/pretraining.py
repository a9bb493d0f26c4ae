"""Pretraining by name, and finding what was pretrained before: one place for the recipes."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from helpers import views
from helpers.batches import BatchLoader
from helpers.checkpoints import save_encoder
from helpers.colab import need_drive
from helpers.data import Splits
from helpers.distributed import is_first, launched
from helpers.encoders import Encoder, build
from helpers.errors import UserError
from helpers.logs import Logs
from helpers.methods import BYOL, DINO
from helpers.monitors import Monitor, looks_every, pictures_for_looks
from helpers.multicrop import crops_for
from helpers.settings import DATASETS, PRESETS, Settings
from helpers.training import fit

METHODS = {"byol": "BYOL", "noise-byol": "noise-BYOL", "dino": "DINO"}  # and what plots and tables call them
SMALL_RECIPE = dict(hidden=256, projection=64, lr=2e-3, momentum=0.98)  # chosen on validation, digits
# On photographs a CPU takes few steps; a target that moves faster learns more in them (benchmarks/imagenette.py).
SMALL_PHOTO_RECIPE = dict(SMALL_RECIPE, momentum=0.9)
# Heads of Grill et al. 2020; the rate is for batches of 256 and grows with them, as theirs does (section 3.3).
LARGE_RECIPE = dict(hidden=4096, projection=256, lr=1e-3, momentum=0.99)
# DINO's heads, rates and schedules. The small ones were chosen on validation with digits; those of the ViT are the
# defaults of `DINO`, which are the paper's; ResNets differ in their decay and crops as in the paper's repository.
# With few steps a convolutional encoder needs the normalisation in its head: without, all answers become uniform.
DINO_SMALL = dict(hidden=256, bottleneck=64, outputs=512, lr=2e-3, momentum=0.99, weight_decay=(1e-4, 1e-4),
                  temperature=(0.04, 0.04), batch_norm=True, parts=6, border=0.4)
DINO_VIT = dict(parts=8, border=0.4)
DINO_RESNET = dict(weight_decay=(1e-4, 1e-4), batch_norm=True, parts=8, border=0.14)
NOISE = {"digits": (0.6, 2.4)}  # deviations noise-BYOL trains with, normalised units, chosen on validation
NOISE_LR, NOISE_STEPS = 4e-3, 1.5  # of the miniature, the steps as a multiple: a harder task; on validation
PHOTO_NOISE = (0.0, 1.5)  # the range that the ViT-BYOL project swept
# Between which shares of the training the noise grows from none to all. The ViT-BYOL project has the last two.
NOISE_RAMPS = {"ramp": (0.05, 0.3), "constant": (0.0, 0.0), "linear": (0.0, 1.0)}


@dataclass
class Pretrained:
    """What a pretraining leaves behind: the encoder, the loss of every step and what the monitor saw."""

    encoder: Encoder
    path: Path
    losses: list[float] = field(default_factory=list)
    momentum: list[float] = field(default_factory=list)
    monitor: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def recipe(method: str, settings: Settings) -> dict[str, Any]:
    """The numbers of a method for these settings; see the constants above for where they come from."""
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}: choose {', '.join(METHODS)}")
    small = settings.encoder in ("slim", "vit_digits")
    if method == "dino":
        large = {**(DINO_VIT if settings.encoder.startswith("vit") else DINO_RESNET),
                 "lr": 5e-4 * settings.batch_size / 256}  # section 3.2
        return {**(DINO_SMALL if small else large), "steps": settings.dino_steps, "batch_size": settings.batch_size}
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
    """The pair of views of a method: both augmented, and for noise-BYOL the second one noisy as well.

    Photographs that are large enough for a blur get the two that differ (Grill et al. 2020, appendix B); others twice
    the same. `encoder` is asked for its patch size; without one it has none.
    """
    view = views.view_for(settings.dataset, settings.image_size, encoder.patch_size if encoder else 1)
    first = second = view
    if isinstance(view, views.PhotoView) and view.blur:
        first, second = replace(view, blur=1.0), replace(view, blur=0.1, solarize=0.2)
    noise = recipe(method, settings).get("noise")
    return first, views.Noisy(second, noise) if method == "noise-byol" else second


def learner(method: str, encoder: Encoder, settings: Settings, epoch: float) -> BYOL | DINO:
    """The module that trains `encoder` by a method; `epoch` is how many batches hold every picture once."""
    numbers = recipe(method, settings)
    numbers.pop("batch_size")
    if method == "dino":
        crops = crops_for(settings.dataset, settings.image_size, step=getattr(encoder.backbone, "patch_size", 8),
                          parts=numbers.pop("parts"), border=numbers.pop("border"))
        return DINO(encoder, crops, frozen=round(epoch), **numbers)
    numbers.pop("noise", None)
    return BYOL(encoder, two_views(method, settings, encoder), **numbers)


def fresh_encoder(splits: Splits, settings: Settings, like: Encoder | None = None) -> Encoder:
    """The settings' encoder, or one built `like` another, with random weights that depend on the seed alone."""
    torch.manual_seed(settings.seed)
    if like is not None:
        return build(**like.config)
    return build(settings.encoder, channels=splits.channels, image_size=splits.image_size)


def pictures_of(splits: Splits, settings: Settings) -> str:
    """What tells the pictures of a folder from others: number, shape, checksum of some 256; "" for a named dataset."""
    if settings.dataset in DATASETS:
        return ""
    images = splits.unlabeled
    some = images[::max(1, len(images) // 256)].contiguous()
    return f"{'x'.join(map(str, images.shape))}-{zlib.crc32(some.numpy()):08x}"


def folder_of(method: str, settings: Settings, start: str = "scratch", pictures: str = "") -> Path:
    """The run folder of a method; another recipe, encoder or start has another one, and so have other pictures.

    `pictures` is what `pictures_of` says of them.
    """
    numbers = {**recipe(method, settings), "encoder": settings.encoder, "size": settings.image_size, "start": start}
    if pictures:
        numbers["pictures"] = pictures
    mark = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:8]
    return settings.checkpoints / f"{variant(method, settings)}-{mark}"


def variant(method: str, settings: Settings) -> str:
    """A method's name, with its noise where that is not the usual one: such runs are not taken for one another."""
    if method == "noise-byol" and (settings.noise_sigma or settings.noise_schedule != "ramp"):
        return f"{method}_sigma{settings.noise_sigma:g}_{settings.noise_schedule}"
    return method


def pretrain(method: str, splits: Splits, settings: Settings, *, encoder: Encoder | None = None,
             start: str = "scratch", resume: bool = True, stop_on_collapse: bool = False, devices: int = 1,
             nodes: int = 1, compiled: bool = False) -> Pretrained:
    """Train `method` on the unlabelled pictures and keep the encoder.

    Args:
        method: one of `METHODS`.
        encoder: a start other than random weights, described by the word `start`; a copy of it is trained.
        resume: go on from a checkpoint of the same run if there is one; a finished one is read back.
        stop_on_collapse: end the training when the representation collapses, not only warn. Asked for again, it stays
            ended; `find_or_pretrain` does not take its encoder.
        devices, nodes: GPUs (or CPU processes) per machine and machines that share every batch; where torchrun
            started this process, its numbers count.
        compiled: use torch.compile, where the machine has what it needs; the results differ by rounding.

    Returns:
        The encoder, in eval mode, and the curves; the encoder is also at `path`.
    """
    need_drive(settings.run_dir)
    devices, nodes = launched(devices, nodes)
    numbers = recipe(method, settings)
    steps = numbers["steps"]
    pictures = pictures_of(splits, settings)
    folder = folder_of(method, settings, start, pictures)
    loader = BatchLoader(splits.unlabeled, None, batch_size=numbers["batch_size"], steps=steps, seed=settings.seed,
                         device=settings.device)
    encoder = copy.deepcopy(encoder) or fresh_encoder(splits, settings)
    module = learner(method, encoder, settings, loader.steps_per_epoch)
    monitor = Monitor(splits.train, splits.val, looks_every(splits, numbers["batch_size"], steps),
                      stop=stop_on_collapse, limit=pictures_for_looks(numbers["batch_size"], steps))
    logs = Logs(folder / "logs", monitor, loader)
    history = fit(module, loader, title=f"{method} on {splits.name}", seed=settings.seed, callbacks=[monitor, logs],
                  folder=folder, resume=resume, devices=devices, nodes=nodes,
                  backend="inductor" if compiled else None)
    done = len(history.losses)
    momentum = [module.target_momentum(step) for step in range(1, done + 1)]
    path = folder / "encoder.safetensors"
    special = {"pictures": pictures} if pictures else {}
    if done < steps:
        special["stopped_of"] = steps
    if is_first():
        save_encoder(module.encoder, path, method=method, dataset=splits.name, steps=done, seed=settings.seed,
                     epochs=round(done / loader.steps_per_epoch), preset=settings.preset, start=start,
                     knn_validation=round(monitor.rows[-1]["knn"], 4), run=run_mark(folder),
                     command=_command(method, splits, settings, start), **special)
    return Pretrained(module.encoder.eval(), path, history.losses, momentum, monitor.rows, history.seconds)


def title(method: str, start: str = "scratch") -> str:
    """What plots and tables call a method, and where it started if that was not random weights."""
    return METHODS[method] if start == "scratch" else f"{METHODS[method]} from {start}"


def run_mark(folder: Path) -> str:
    """What tells one run from another on any machine: dataset, preset, seed, method and recipe."""
    return f"{folder.parent.name}/{folder.name}"


def steps_setting(method: str) -> str:
    """The setting that says for how many steps a method is trained."""
    return "dino_steps" if method == "dino" else "pretrain_steps"


def _command(method: str, splits: Splits, settings: Settings, start: str) -> str:
    """The line for a shell that makes such an encoder."""
    given = dict(dataset=splits.name, preset=settings.preset, encoder=settings.encoder, start=start,
                 batch_size=settings.batch_size, image_size=settings.image_size, seed=settings.seed)
    if variant(method, settings) != method:
        given |= dict(noise_sigma=settings.noise_sigma, noise_schedule=settings.noise_schedule)
    options = shlex.join(word for name, value in given.items() if value != "scratch"
                         for word in (f"--{name.replace('_', '-')}", str(value)))
    field = steps_setting(method)
    other = getattr(settings, field) != PRESETS[settings.preset][field]
    steps = f"FEWLABELS_{field.upper()}={getattr(settings, field)} " if other else ""
    return f"{steps}python -m helpers pretrain {method} {options}"
