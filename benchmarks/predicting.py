"""`python -m helpers predict` on many files: see `throughput.py --method predict --scale`."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from helpers.data.stream import image_files
from helpers.evaluation.predictions import write_predictions
from helpers.models.classifier_file import KeptClassifier, Seen
from helpers.models.weights.checkpoint import load_encoder
from helpers.models.weights.hub import fetch
from helpers.training.kept import KEPT
from helpers.training.released import PHOTOGRAPHS

CLASSES = [f"class {number}" for number in range(10)]
SIDE = 160  # pixels of the photographs
PER_FOLDER = 1_000


def of_size(count: int, photographs: Tensor, device: str,
            weights: str = PHOTOGRAPHS["byol"]) -> dict:
    """How fast a classifier goes through `count` JPEG files, links to a few photographs (uint8
    N x 3 x S x S), and the most memory that this process had."""
    classifier = random_classifier(weights).to(device).eval()
    with tempfile.TemporaryDirectory() as place:
        folder = linked(Path(place), photographs, count)
        began, worked = time.perf_counter(), time.process_time()
        totals = write_predictions(classifier, image_files([str(folder)]), Path(place, "p.csv"))
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    return dict(images=totals.classified, images_per_second=count / seconds,
                cpu_milliseconds=1000 * cpu_seconds / count,
                memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def random_classifier(weights: str) -> KeptClassifier:
    """A released encoder with a head of random weights; all images look unlike what it keeps."""
    encoder = load_encoder(fetch(weights))
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(len(CLASSES) + KEPT, encoder.num_features, generator=generator)
    head = numbers[:len(CLASSES)], torch.zeros(len(CLASSES))
    return KeptClassifier(encoder, [head], CLASSES, Seen(numbers[len(CLASSES):]))


def linked(place: Path, photographs: Tensor, count: int) -> Path:
    """A folder of `count` JPEG files, which are few photographs under many names."""
    originals = []
    for number, image in enumerate(photographs):
        originals.append(place / f"{number}.jpg")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(originals[-1], quality=90)
    for number in range(count):
        folder = place / "photos" / str(number // PER_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        os.link(originals[number % len(originals)], folder / f"{number}.jpg")
    return place / "photos"
