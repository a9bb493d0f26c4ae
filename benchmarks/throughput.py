"""How fast is a step of BYOL or DINO? Ours beside others, from one run on this machine.

    python benchmarks/throughput.py                 a table, and JSON under benchmarks/results/
    python benchmarks/throughput.py --method dino   the same for DINO: lightly's example and ours
    python benchmarks/throughput.py --scale         1,000 to 100,000 images, with memory
    python benchmarks/throughput.py --scale --method extract      the same of features by slim
    python benchmarks/throughput.py --scale --method predict      and of a classifier in use

All train the same network (torchvision's ResNet18; BYOL's heads have 1,024 and 256 features, DINO's
2,048, 256 and 2,048, with two global and six local crops) on the same images:

- textbook: a DataLoader without workers, lightly's BYOL transform (PIL), four forward passes, fp32:
  the loop of most notebooks, the Self-Learner project's among them;
- lightly + Lightning: the same as a LightningModule with a Trainer and as many workers as there are
  cores (https://docs.lightly.ai/self-supervised-learning/examples/byol.html, and dino.html);
- ours: `helpers.methods` with views made on the device, as `helpers.training.trainer.fit` runs it;
- compute limit: ours on views that lie ready, which no data path can beat.

The contenders take turns, round after round, so that whatever else the machine does hits all of
them; the ratio of each round is kept and the median reported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from lightly.loss import DINOLoss, NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
    DINOTransform,
)
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import resnet18

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import predicting
from benchmarks.photos.data import command, machine
from helpers.common.files import write_atomically
from helpers.evaluation.features import extract_features
from helpers.methods.byol import BYOL
from helpers.methods.dino import DINO
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.training import trainer as training
from helpers.training.loader import BatchLoader
from helpers.transforms import views
from helpers.transforms.multicrop import MultiCrop, local_size

RESULTS = Path(__file__).parent / "results"
HIDDEN, PROJECTION = 1024, 256
WARM_UP = 4  # steps that are not counted: kernels are chosen
PREFETCH = 2  # batches that each worker of a DataLoader makes ahead, its default
LOCAL_CROPS, OUTPUTS = 6, 2048  # of DINO
SCALED = ("extract", "predict")  # what has no race
EXTRACT_WARM_UP = 512  # images that are not counted


def warm_up(workers: int = 0) -> int:
    """Steps that are not counted: what workers have made ahead by then has been used."""
    return WARM_UP + workers * PREFETCH


def images_for(options: argparse.Namespace) -> int:
    """So many that one epoch holds all steps of the contender with most: no worker starts anew."""
    return options.batch * (warm_up(os.cpu_count() or 1) + options.steps)


class Clock(Callback):
    """When each step ended; a GPU is waited for at the first and the last step that count, since
    doing so at every step would slow it down."""

    def __init__(self, options: argparse.Namespace, workers: int = 0) -> None:
        self.times: list[float] = []
        self.first, self.last = warm_up(workers), warm_up(workers) + options.steps
        self.marks = (self.first, self.last) if options.device == "cuda" else ()

    def tick(self) -> None:
        if len(self.times) + 1 in self.marks:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def on_train_batch_end(self, *_: object) -> None:
        self.tick()

    @property
    def seconds(self) -> float:
        """Mean seconds of a step after the warm-up."""
        counted = self.times[self.first - 1:]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


class Memory(Callback):
    """The most bytes that this process had of its own after a step; pages of a file in the
    system's cache are not."""

    most = 0

    def on_train_batch_end(self, *_: object) -> None:
        self.look()

    def look(self) -> None:
        import psutil

        memory = psutil.Process().memory_info()
        self.most = max(self.most, memory.rss - getattr(memory, "shared", 0))


# --- the peers ----------------------------------------------------------------------------------

def byol_views(size: int) -> BYOLTransform:
    """lightly's two views."""
    return BYOLTransform(BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size))


def dino_views(size: int) -> DINOTransform:
    """lightly's crops, of our sides."""
    return DINOTransform(global_crop_size=size, local_crop_size=local_size(size),
                         n_local_views=LOCAL_CROPS)


class Images(Dataset):
    """PIL images and lightly's views of them, as a torchvision dataset with a transform gives
    them."""

    def __init__(self, images: np.ndarray, size: int,
                 transform: Callable[[int], Callable] = byol_views) -> None:
        self.images, self.transform = images, transform(size)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(Image.fromarray(self.images[index].transpose(1, 2, 0)))


class PeerBYOL(pl.LightningModule):
    """BYOL in fp32 from lightly's parts: every view through the online and the target network by
    itself."""

    def __init__(self) -> None:
        super().__init__()

        def encoder() -> nn.Module:
            return nn.Sequential(*list(resnet18().children())[:-1], nn.Flatten())

        self.online, self.target = encoder(), encoder()
        self.project, self.project_target = (BYOLProjectionHead(512, HIDDEN, PROJECTION)
                                             for _ in range(2))
        self.predict = BYOLPredictionHead(PROJECTION, HIDDEN, PROJECTION)
        for slow, fast in ((self.target, self.online), (self.project_target, self.project)):
            slow.load_state_dict(fast.state_dict())
            deactivate_requires_grad(slow)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        update_momentum(self.online, self.target, 0.99)
        update_momentum(self.project, self.project_target, 0.99)
        first, second = batch
        p0, p1 = (self.predict(self.project(self.online(view))) for view in (first, second))
        z0, z1 = (self.project_target(self.target(view)).detach() for view in (first, second))
        return 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.06)


class PeerDINO(pl.LightningModule):
    """DINO in fp32 as lightly's example has it: every crop through the student by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = (nn.Sequential(*list(resnet18().children())[:-1],
                                                    nn.Flatten()) for _ in range(2))
        widths = (512, 2048, 256, OUTPUTS)
        self.student_head = DINOProjectionHead(*widths, freeze_last_layer=1)
        self.teacher_head = DINOProjectionHead(*widths)
        for slow, fast in ((self.teacher, self.student), (self.teacher_head, self.student_head)):
            slow.load_state_dict(fast.state_dict())
            deactivate_requires_grad(slow)
        self.criterion = DINOLoss(output_dim=OUTPUTS, warmup_teacher_temp_epochs=5)

    def training_step(self, crops: list[Tensor], _: int) -> Tensor:
        update_momentum(self.student, self.teacher, 0.99)
        update_momentum(self.student_head, self.teacher_head, 0.99)
        teacher = [self.teacher_head(self.teacher(crop)) for crop in crops[:2]]
        student = [self.student_head(self.student(crop)) for crop in crops]
        return self.criterion(teacher, student, epoch=self.current_epoch)

    def on_after_backward(self) -> None:
        self.student_head.cancel_last_layer_gradients(current_epoch=self.current_epoch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=0.001)


def textbook(images: Tensor, options: argparse.Namespace) -> float:
    """Seconds a step: the plain loop, no workers."""
    loader = DataLoader(Images(images.numpy(), options.size), options.batch, shuffle=True,
                        drop_last=True)
    module = PeerBYOL().to(options.device).train()
    optimizer, clock = module.configure_optimizers(), Clock(options)
    while len(clock.times) < clock.last:
        for batch in loader:
            loss = module.training_step([view.to(options.device) for view in batch], 0)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.tick()
            if len(clock.times) == clock.last:
                break
    return clock.seconds


def lightning(images: Tensor, options: argparse.Namespace) -> float:
    """Seconds a step: lightly's parts, Lightning's Trainer, workers for all cores."""
    dino, workers = options.method == "dino", os.cpu_count() or 1
    data = Images(images.numpy(), options.size, dino_views if dino else byol_views)
    loader = DataLoader(data, options.batch, shuffle=True, drop_last=True, num_workers=workers,
                        prefetch_factor=PREFETCH, persistent_workers=True,
                        pin_memory=options.device == "cuda")
    clock = Clock(options, workers)
    trainer = pl.Trainer(accelerator={"cuda": "gpu"}.get(options.device, options.device), devices=1,
                         max_steps=clock.last, callbacks=[clock], logger=False,
                         enable_checkpointing=False, enable_progress_bar=False,
                         enable_model_summary=False)
    trainer.fit(PeerDINO() if dino else PeerBYOL(), loader)
    return clock.seconds


# --- ours ---------------------------------------------------------------------------------------

class Ready:
    """A view, or crops, that lie ready on the device in place of ones that are made."""

    local_crops = LOCAL_CROPS

    def __init__(self, made: Tensor | tuple[Tensor, Tensor]) -> None:
        self.made = made

    def __call__(self, images: Tensor, strength: float = 1.0) -> Tensor | tuple[Tensor, Tensor]:
        return self.made


def lightly_views(size: int) -> tuple[views.PhotoView, views.PhotoView]:
    """The two views of lightly's BYOL transform, made in batches: the same strengths and
    chances."""
    first = views.PhotoView(size=size, blur=1.0, solarize=0.0)
    return first, views.PhotoView(size=size, blur=0.1, solarize=0.2)


def lightly_crops(size: int) -> MultiCrop:
    """The crops of lightly's DINO transform, made in batches: the same strengths and chances."""
    view = views.PhotoView(size=size, scale=(0.4, 1.0), jitter=(0.4, 0.4, 0.2, 0.1))
    local = replace(view, size=local_size(size), scale=(0.05, 0.4), blur=0.5)
    return MultiCrop(replace(view, blur=1.0), replace(view, blur=0.1, solarize=0.2), local,
                     LOCAL_CROPS)


def ours(images: Tensor, options: argparse.Namespace, pair: Any = None,
         *watchers: Callback) -> float:
    """Seconds a step of ours through `helpers.training.trainer.fit`."""
    clock, encoder = Clock(options), build("resnet18", image_size=options.size)
    size = dict(steps=clock.last, batch_size=options.batch)
    if options.method == "dino":
        recipe = DINORecipe(**size, output_dim=OUTPUTS, local_crops=LOCAL_CROPS)
        module = DINO(encoder, pair or lightly_crops(options.size), recipe)
    else:
        recipe = BYOLRecipe(**size, hidden_dim=HIDDEN, projection_dim=PROJECTION)
        module = BYOL(encoder, pair or lightly_views(options.size), recipe)
    loader = BatchLoader(images, None, **size, device=options.device)
    training.fit(module, loader, callbacks=[clock, *watchers])
    return clock.seconds


def limit(images: Tensor, options: argparse.Namespace) -> float:
    """Seconds a step of ours when the views cost nothing."""
    batch = images[:options.batch].to(options.device)
    if options.method == "dino":
        return ours(images, options, Ready(lightly_crops(options.size)(batch)))
    return ours(images, options, [Ready(view(batch).contiguous(memory_format=torch.channels_last))
                                  for view in lightly_views(options.size)])


CONTENDERS = {
    "textbook": textbook, "lightly + Lightning": lightning, "ours": ours, "compute limit": limit
}
WITHOUT = {"byol": (), "dino": ("textbook",)}  # lightly's example is the plain loop for DINO


# --- the two measurements -----------------------------------------------------------------------

def race(options: argparse.Namespace) -> list[dict]:
    """Every contender in every round; a row each with images/s and ours' ratio to it, medians over
    the rounds."""
    images = photographs(images_for(options), options.size)
    contenders = {name: contender for name, contender in CONTENDERS.items()
                  if name not in WITHOUT[options.method]}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.rounds):
        for name, contender in contenders.items():
            torch.manual_seed(turn)
            seconds[name].append(contender(images, options))
            print(
                f"round {turn + 1} of {options.rounds}: {name:<20} "
                f"{options.batch / seconds[name][-1]:7.1f} images/s",
                file=sys.stderr, flush=True)
        rows = compared(seconds, options.batch)
        keep(result_name(options), options, rows)  # as it stands after this round
    return rows


def compared(seconds: dict[str, list[float]], batch: int) -> list[dict]:
    """A row a contender, from its seconds a step in each round."""
    rows = []
    for name, times in seconds.items():
        ratios = [theirs / own for theirs, own in zip(times, seconds["ours"], strict=True)]
        rows.append(
            dict(contender=name, images_per_second=batch / statistics.median(times),
                 ours_is=statistics.median(ratios), lowest=min(ratios), highest=max(ratios)))
    return rows


def scale(options: argparse.Namespace) -> list[dict]:
    """Images per second and memory of ours with 1,000 to 100,000 images.

    Each in a process of its own, so that none has what another has left.
    """
    rows = []
    for count in (1_000, 10_000, 100_000):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows.append(pool.submit(of_size, count, options).result())
        keep(result_name(options), options, rows)
        print(
            "{images:>9,} images: {images_per_second:7.1f} images/s, {memory_mib:,.0f} MiB".format(
                **rows[-1]), file=sys.stderr, flush=True)
    return rows


def of_size(count: int, options: argparse.Namespace) -> dict:
    """One row of `scale`: `count` images on disk (files for `predict`, one memory-mapped block for
    a training), and the most memory that this process had of its own."""
    if options.method == "predict":
        return predicting.of_size(count, photographs(500, predicting.SIDE), options.device)
    watcher = Memory()
    few = photographs(1000, options.size).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        block = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *few.shape[1:]))
        for start in range(0, count, 1000):
            block[start:start + 1000] = few
        block.flush()
        del block, few
        images = torch.from_numpy(np.load(path, mmap_mode="c"))
        speed = extracted(images, options, watcher) if options.method == "extract" else \
            options.batch / ours(images, options, None, watcher)
    return dict(images=count, images_per_second=speed, memory_mib=watcher.most / 2**20)


def extracted(images: Tensor, options: argparse.Namespace, watcher: Memory) -> float:
    """Images a second of `extract_features` by the slim encoder; the memory is looked at in every
    batch and, with all features there, at the end."""
    encoder = build("slim", image_size=options.size).to(options.device).eval()
    extract_features(encoder, images[:EXTRACT_WARM_UP])
    encoder.register_forward_hook(lambda *_: watcher.look())
    began = time.perf_counter()
    features = extract_features(encoder, images)
    seconds = time.perf_counter() - began
    watcher.look()
    return len(features) / seconds


def photographs(count: int, size: int) -> Tensor:
    """uint8 count x 3 x size x size of coloured clouds: smooth like photographs, made here, the
    same every time."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic",
                                       align_corners=False)
    return (255 * smooth.clamp(0, 1)).to(torch.uint8)


def show(rows: list[dict]) -> None:
    """Print rows as a table."""
    table = pd.DataFrame(rows).map(written)
    print(table.to_string(index=False))


def written(value: object) -> str:
    """A cell of a table: two decimals below 20, none above."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.2f}" if isinstance(value, float) and value < 20 else f"{value:,.0f}"


def keep(name: str, options: argparse.Namespace, rows: list[dict]) -> None:
    """Write rows, the command and the machine to benchmarks/results/NAME.json."""
    made_on = machine(options.device) | dict(torch=torch.__version__, lightning=pl.__version__)
    record = dict(command=command(), machine=made_on, rows=rows)
    write_atomically(RESULTS / f"{name}.json", json.dumps(record, indent=1) + "\n")


def result_name(options: argparse.Namespace) -> str:
    """Of the file: what was measured, and on which device."""
    what = "scale" if options.scale else "throughput"
    method = "" if options.method == "byol" else f"-{options.method}"
    return f"{what}{method}-{options.device}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=("byol", "dino", *SCALED), default="byol",
                        help="extract and predict go with --scale")
    parser.add_argument("--size", type=int, default=96, help="side of images and views, pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int,
                        help="timed steps a contender and round (default: 50 on a GPU, else 8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scale", action="store_true",
                        help="1,000 to 100,000 images in place of the race")
    options = parser.parse_args()
    if options.method in SCALED and not options.scale:
        parser.error(f"--method {options.method} goes with --scale")
    options.steps = options.steps or (50 if options.device == "cuda" else 8)
    rows = scale(options) if options.scale else race(options)
    show(rows)
    print(f"kept in benchmarks/results/{result_name(options)}.json")


if __name__ == "__main__":
    main()
