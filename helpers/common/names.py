"""The names that a person can choose: methods, datasets, encoders, noise schedules."""

from __future__ import annotations

# and what plots and tables call them
METHODS = {"byol": "BYOL", "noise-byol": "noise-BYOL", "dino": "DINO"}
DATASETS = ("digits", "stl10", "cifar10", "imagenette", "fashion-mnist")
ENCODERS = ("slim", "resnet18", "resnet34", "resnet50", "resnet101", "vit_digits", "vit_tiny",
            "vit_small", "vit_base")
# side in pixels
DEFAULT_IMAGE_SIZE = {"digits": 16, "stl10": 96, "cifar10": 32, "imagenette": 128,
                      "fashion-mnist": 28}
NOISE_SCHEDULES = ("ramp", "constant", "linear")  # how noise-BYOL's noise grows over the training
