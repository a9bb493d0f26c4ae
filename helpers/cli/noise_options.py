"""The options of `search`, `robustness` and `similarity`. Nothing here waits for torch."""

from __future__ import annotations

import argparse
from typing import Any

from helpers.cli.parsing import A_DATASET, add_device, count, later, positive
from helpers.common.names import ENCODERS
from helpers.settings import PRESETS


def add_noise_commands(commands: Any) -> None:
    """The three of them, to a parser's subparsers."""
    _add_search(commands.add_parser("search", help="search noise-BYOL's recipe with optuna"))
    _add_robustness(commands.add_parser("robustness", help="accuracy under noise of each strength"))
    _add_similarity(commands.add_parser("similarity", help="how noise changes each layer"))


def _add_search(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dataset", help=A_DATASET)
    command.add_argument("--encoder", choices=ENCODERS, help="default: the preset's")
    command.add_argument("--preset", choices=["auto", *PRESETS])
    command.add_argument("--trials", type=positive, metavar="N",
                         help="in the end, those of earlier calls included; default: the preset's")
    command.add_argument("--steps", type=positive, metavar="N",
                         help="of one training; default: a tenth of the preset's")
    command.add_argument("--sigma", type=float, default=1.0,
                         help="of the noise on validation images; default: 1.0")
    command.add_argument("--batch-size", type=positive)
    command.add_argument("--image-size", type=positive, metavar="PIXELS")
    command.add_argument("--seed", type=count)
    command.add_argument("--out", metavar="FOLDER",
                         help="which keeps the study; default: FEWLABELS_RUN_DIR, else runs")
    add_device(command, trains=True)
    command.set_defaults(command=later("noise", "search"))


def _add_files(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", nargs="+", metavar="FILE", help="classifiers that train wrote, "
                         "encoders, or names from `weights list`")
    command.add_argument("--dataset", default="auto", help=A_DATASET)
    command.add_argument("--out", metavar="CSV", help="also write the numbers there")
    command.add_argument("--figure", metavar="PNG", help="also draw them")
    command.add_argument("--seed", type=count)
    add_device(command)


def _add_robustness(command: argparse.ArgumentParser) -> None:
    _add_files(command)
    command.add_argument("--sigmas", nargs="+", type=float, metavar="SIGMA",
                         help="deviations of the noise, images in [-1, 1]; default: 0 to 1.5")
    command.add_argument("--draws", type=positive, default=3, metavar="N",
                         help="of the noise; default: 3")
    command.set_defaults(command=later("noise", "robustness"))


def _add_similarity(command: argparse.ArgumentParser) -> None:
    _add_files(command)
    command.add_argument("--sigma", type=float, default=0.5,
                         help="deviation of the noise, images in [-1, 1]; default: 0.5")
    command.add_argument("--token", choices=("class", "mean"),
                         help="of a ViT; default: all outputs of a layer")
    command.add_argument("--images", type=positive, default=128, metavar="N",
                         help="of the test images; default: 128")
    command.set_defaults(command=later("noise", "similarity"))
