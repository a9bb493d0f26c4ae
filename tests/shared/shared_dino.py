"""DINO trained by one process or by two together; test_distributed starts it as `shared_dino.py
FOLDER`.

As in `shared_training`, the views depend on the image alone. The loss is in single precision.
"""

import sys
from pathlib import Path

import torch
from shared_training import mirrored, plain
from torch.nn import functional as F

from helpers.data.loading import load
from helpers.methods.dino import DINO
from helpers.methods.recipes import DINORecipe
from helpers.models.encoder import build
from helpers.training.distributed import is_first
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit

STEPS = 6


class Crops:
    """Whole images, plain and mirrored, and two quarters of each."""

    local_crops = 2

    def __call__(self, images):
        whole = plain(images)
        quarters = torch.cat([whole[..., :8, :8], whole[..., 8:, 8:]])
        return torch.cat([whole, mirrored(images)]), F.interpolate(quarters, scale_factor=1.5)


def train(folder, processes):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = build("slim", channels=1, image_size=16, width=8)
    recipe = DINORecipe(steps=STEPS, hidden_dim=16, bottleneck_dim=8, output_dim=32,
                        batch_norm=True)
    module = DINO(encoder, Crops(), recipe).double()
    module.criterion.float()
    loader = BatchLoader(load("digits").unlabeled[:40], None, batch_size=16, steps=STEPS)
    history = fit(module, loader, hardware=Hardware(processes), folder=folder)
    if is_first():
        torch.save({"model": module.state_dict(), "losses": history.losses}, folder / "main.pt")


if __name__ == "__main__":
    train(Path(sys.argv[1]), 2)
