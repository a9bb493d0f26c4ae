"""The options of `train` and `overfit`. Nothing here waits for torch."""

from __future__ import annotations

import argparse

from helpers.cli.parsing import (
    A_DATASET,
    add_device,
    add_save_every,
    add_split_options,
    count,
    later,
    positive,
)
from helpers.cli.recipe_options import add_recipe_options
from helpers.common.names import ENCODERS
from helpers.methods.recipes import ClassifierRecipe

PROTOCOLS = ("linear", "mlp", "finetune", "last-block")


def add_train(command: argparse.ArgumentParser) -> None:
    """Of `train`: images, weights, and how the whole network is trained."""
    command.add_argument("data", metavar="FOLDER_OR_DATASET",
                         help=f"{A_DATASET}, or what `features` wrote")
    command.add_argument("--labels", metavar="FILE",
                         help="CSV with the columns file (in the folder) and class")
    command.add_argument("--classes", metavar="NAMES", help="only these, such as cat,dog; with "
                         "--labels the only ones there are; default: all")
    command.add_argument("--weights", metavar="WEIGHTS", help="a name from `weights list`, a file, "
                         "or scratch; default: for a folder the best that this machine runs in "
                         "minutes, else the released encoder for such images")
    command.add_argument("--encoder", choices=ENCODERS,
                         help="with --weights scratch; default: the preset's")
    command.add_argument("--protocol", choices=PROTOCOLS, default="linear",
                         help="a head on frozen features (linear, mlp), the whole network, or the "
                         "last block of a ViT with the head")
    command.add_argument("--out", required=True, metavar="FILE", help="such as my.safetensors")
    command.add_argument("--per-class", type=positive, metavar="N",
                         help="use N labels of each class only, a random choice")
    command.add_argument("--image-size", type=positive, metavar="PIXELS",
                         help="default: what the weights were trained on")
    command.add_argument("--seed", type=count)
    add_device(command, trains=True)
    group = command.add_argument_group("training", "of finetune and last-block")
    group.add_argument("--run-dir", metavar="FOLDER", help="of checkpoints and logs")
    group.add_argument("--resume", action="store_true",
                       help="go on from the last checkpoint of the same training")
    group.add_argument("--epochs", type=positive, help="default: the preset's number of steps")
    group.add_argument("--eval-every", type=positive, metavar="STEPS",
                       help="between evaluations; default: 20 in a training, 8 without patience")
    group.add_argument("--log-every", type=positive, metavar="STEPS",
                       help="between rows of the logs; default: evaluations")
    add_save_every(group)
    add_recipe_options(command, [ClassifierRecipe])
    add_split_options(command, classes=False)
    command.set_defaults(command=later("classifier", "train"))


def add_overfit(command: argparse.ArgumentParser) -> None:
    """Of `overfit`: one batch, the network, and when to stop."""
    command.add_argument("data", metavar="FOLDER_OR_DATASET", help=A_DATASET)
    command.add_argument("--weights", metavar="WEIGHTS", default="scratch",
                         help="a name from `weights list`, a file, or scratch; default: scratch")
    command.add_argument("--encoder", choices=ENCODERS,
                         help="with --weights scratch; default: the preset's")
    command.add_argument("--image-size", type=positive, metavar="PIXELS")
    command.add_argument("--batch-size", type=positive, default=32, metavar="N",
                         help="images in the batch; default: 32")
    command.add_argument("--tolerance", type=float, default=1e-3,
                         help="the loss that counts as learnt by heart; default: 0.001")
    command.add_argument("--max-steps", type=positive, default=200, metavar="N",
                         help="at each rate; default: 200")
    command.add_argument("--rates", nargs="+", type=float, metavar="LR",
                         help="learning rates to try; default: 1e-4 3e-4 1e-3 3e-3 1e-2")
    command.add_argument("--log-every", type=positive, default=10, metavar="STEPS",
                         help="between losses that are printed; default: 10")
    command.add_argument("--seed", type=count)
    add_device(command)
    command.set_defaults(command=later("overfitting", "overfit"))
