"""The peer: BYOL as lightly's own benchmark for Imagenette trains it.

From docs/source/getting_started/benchmarks/imagenette_benchmark.py of
https://github.com/lightly-ai/lightly: images from files through PIL and lightly's BYOL transform,
torchvision's ResNet18 with ImageNet's stem, heads of 4,096 and 256, a target momentum of 0.99, SGD
with rate 0.06 at batches of 256, momentum 0.9, weight decay 5e-4, a cosine, fp32.

What differs: on a CPU the size of the views (theirs is 128 pixels, as on a GPU here) and that the
DataLoader has no workers, because one core is all there is (on a GPU it has one for each core); the
cosine falls at every step and not at every epoch, because a small budget has few epochs; weights
lie channels last, which is faster. On a GPU its workers fill their queues also while it is
watched, which is in its favour.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightly.data import LightlyDataset
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from torch import Tensor
from torch.utils.data import DataLoader

from helpers.common.machine import cores
from helpers.data.splits import Splits
from helpers.models.encoder import Encoder, build
from helpers.settings import Settings
from helpers.training.loader import BatchLoader

BATCH = 256
RECIPE = dict(optimizer="SGD", lr=0.06, sgd_momentum=0.9, weight_decay=5e-4, hidden=4096,
              projection=256, momentum=0.99, batch_size=BATCH, schedule="cosine", precision="fp32")


class FileLoader(BatchLoader):
    """Batches of lightly's two views, made from the files of the training images by a DataLoader.

    Args:
        folder: holds train/<class>/.
        splits: says which files are training images.
        device: where the training runs; Lightning takes the views there.
    """

    def __init__(self, folder: str, splits: Splits, *, steps: int, seed: int,
                 device: str = "cpu") -> None:
        super().__init__(splits.unlabeled, None, batch_size=BATCH, steps=steps, seed=seed,
                         device=device)
        size, train = splits.image_size, Path(folder) / "train"
        names = [str(Path(folder, name).relative_to(train)) for name in splits.names["train"]]
        views = BYOLTransform(BYOLView1Transform(input_size=size),
                              BYOLView2Transform(input_size=size))
        self.files = LightlyDataset(str(train), transform=views, filenames=names)

    def __iter__(self) -> Iterator[list[Tensor]]:
        batches = [self.indices(step).tolist() for step in range(self.position, self.steps)]
        workers = 0 if self.device == "cpu" else cores()
        for views, _, _ in DataLoader(self.files, batch_sampler=batches, num_workers=workers,
                                      pin_memory=self.device == "cuda"):
            self.position += 1
            yield views
        self.position = 0


class LightlyBYOL(pl.LightningModule):
    """Online and target network; `encoder` is the online backbone."""

    def __init__(self, encoder: Encoder, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        self.projector = BYOLProjectionHead(encoder.num_features, RECIPE["hidden"],
                                            RECIPE["projection"])
        self.predictor = BYOLPredictionHead(RECIPE["projection"], RECIPE["hidden"],
                                            RECIPE["projection"])
        self.target_encoder, self.target_projector = copy.deepcopy(encoder), copy.deepcopy(
            self.projector)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_projector)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, views: list[Tensor], _: int) -> Tensor:
        update_momentum(self.encoder, self.target_encoder, RECIPE["momentum"])
        update_momentum(self.projector, self.target_projector, RECIPE["momentum"])
        # The views come in ImageNet's normalisation already, so they go to the backbone itself.
        p0, p1 = (self.predictor(self.projector(self.encoder.backbone(view))) for view in views)
        with torch.no_grad():
            z0, z1 = (self.target_projector(self.target_encoder.backbone(view)) for view in views)
        return 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))

    def configure_optimizers(self) -> dict:
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=RECIPE["lr"] * BATCH / 256,
                                    momentum=RECIPE["sgd_momentum"],
                                    weight_decay=RECIPE["weight_decay"])
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        return {
            "optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}
        }


def encoder_for(settings: Settings) -> Encoder:
    """ResNet18 as the peer has it, or our miniature, with random weights of the seed and
    ImageNet's normalisation."""
    torch.manual_seed(settings.seed)
    stem = dict(stem="imagenet") if settings.encoder.startswith("resnet") else {}
    return build(settings.encoder, image_size=settings.image_size, normalisation="imagenet", **stem)
