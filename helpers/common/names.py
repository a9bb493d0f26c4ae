"""The names that a person can choose: methods, datasets, encoders, noise schedules."""

from __future__ import annotations

import re
from pathlib import Path

# and what plots and tables call them
METHODS = {"byol": "BYOL", "noise-byol": "noise-BYOL", "dino": "DINO"}
DATASETS = ("digits", "stl10", "cifar10", "imagenette", "fashion-mnist")
ENCODERS = ("slim", "slim_fine", "slim_deep", "slim_joined", "resnet18", "resnet34", "resnet50",
            "resnet101", "mobilenet_v3_small", "efficientnet_b0", "vit_digits", "vit_tiny",
            "vit_small", "vit_base")
# side in pixels
DEFAULT_IMAGE_SIZE = {"digits": 16, "stl10": 96, "cifar10": 32, "imagenette": 128,
                      "fashion-mnist": 28}
NOISE_SCHEDULES = ("ramp", "constant", "linear")  # how noise-BYOL's noise grows over the training
QUOTES = "\"'`\u201c\u201d\u2018\u2019"


def dataset_named(text: str) -> str | None:
    """The dataset that a person means by "CIFAR 10" or "FashionMNIST", None if it is none.

    A folder of another spelling goes before it.
    """
    plain = {re.sub("[^a-z0-9]", "", name): name for name in DATASETS}
    name = plain.get(re.sub("[^a-z0-9]", "", text.lower()))
    return None if name != text and Path(text).expanduser().is_dir() else name


def unquoted(text: object) -> str:
    """A path without the quotes and blanks around it that come along when it is copied."""
    return str(text).strip().strip(QUOTES).strip()
