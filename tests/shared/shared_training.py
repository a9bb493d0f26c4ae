"""A training that one process or several do together; test_distributed starts it.

`shared_training.py FOLDER {script,notebook} [DIES_AT]`: two processes, started as from a shell or
as from a notebook. In the end each writes FOLDER/RANK.pt, and the one that was started first
FOLDER/main.pt as well. With DIES_AT the last process kills itself after that step. Run again, it
goes on from the last checkpoint.

The views depend on the image alone, so that it does not matter which process makes them, and all is
in double precision, so that sums taken in another order differ by next to nothing.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from pytorch_lightning.callbacks import Callback

from helpers.data.loading import load
from helpers.data.splits import Labeled
from helpers.methods.byol import BYOL
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import build
from helpers.training import checkpoints as survival
from helpers.training import distributed
from helpers.training.distributed import is_first, rank_and_world
from helpers.training.loader import BatchLoader
from helpers.training.monitor import Monitor
from helpers.training.trainer import Hardware, fit

STEPS, SAVED_EVERY = 14, 4


def plain(images, strength=1.0):
    return images.double() / 127.5 - 1


def mirrored(images, strength=1.0):
    return plain(images).flip(3)


class Dies(Callback):
    """Ends the last process as a pulled plug would."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        rank, world = rank_and_world()
        if trainer.global_step == self.step and rank == world - 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Keeps(Callback):
    """Writes down what this process has in the end."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, module):
        seen = {"model": module.state_dict(), "draw": torch.rand(4)}
        torch.save(seen, self.folder / f"{rank_and_world()[0]}.pt")


def train(folder, processes, dies_at=None):
    torch.set_num_threads(1)
    splits = load("digits")
    torch.manual_seed(0)
    encoder = build("slim", channels=1, image_size=16, width=8)
    recipe = BYOLRecipe(steps=STEPS, hidden_dim=16, projection_dim=8)
    module = BYOL(encoder, (plain, mirrored), recipe).double()
    known = [
        Labeled(plain(part.images[:50]), part.labels[:50]) for part in (splits.train, splits.val)
    ]
    monitor = Monitor(*known, every=5)
    survival.ASK_EVERY = SAVED_EVERY
    history = fit(module, BatchLoader(splits.unlabeled[:40], None, batch_size=16, steps=STEPS),
                  hardware=Hardware(processes), callbacks=[monitor, Keeps(folder),
                                                Dies(dies_at)], folder=folder, resume=True,
                  save_minutes=0)
    if is_first():
        torch.save(
            {
                "model": module.state_dict(), "losses": history.losses, "rows": monitor.rows,
                "kinds": [type(part).__name__ for part in module.modules()]
            }, folder / "main.pt")


if __name__ == "__main__":
    if sys.argv[2] == "notebook":
        distributed.in_notebook = lambda: True
    train(Path(sys.argv[1]), 2, *map(int, sys.argv[3:]))
