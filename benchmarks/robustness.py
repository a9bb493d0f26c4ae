"""How much time sharing saves when accuracy is measured at 31 strengths of noise.

    python -m benchmarks.robustness                 two encoders of each kind, three noise seeds
    python -m benchmarks.robustness --repeats 3     the median of several rounds

Three ways to the same numbers (accuracy, and similarity of clean and noisy features, for each
method, sigma and seed), one after the other in one run on one machine:

*naive*     The loop of the ViT-BYOL project: for each sigma and each method a DataLoader turns
            every image from PIL into a tensor, normalises it and adds noise, in batches of 128;
            clean features are taken again.
*tensors*   The same loop on tensors that are in memory already, in batches of 512: nothing is
            decoded again.
*shared*    `helpers.evaluation.robustness.noise_sweep`; its accuracies have to be those of
            *tensors*, number by number.

The encoders have random weights: time does not depend on what they learned. Seconds are those that
the processor spent on one thread, so that other programs do not count. The table is printed and
kept as JSON in `benchmarks/results/robustness.json`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2 as transforms
from torchvision.transforms.functional import to_pil_image

from helpers.common.compute import threads_for
from helpers.common.files import write_atomically
from helpers.data.loading import load
from helpers.data.splits import Labeled
from helpers.evaluation.noise import noisy_images, sigmas_for
from helpers.evaluation.predictors import Predictor, features_of, probe_predictor
from helpers.evaluation.probes import linear_probe
from helpers.evaluation.robustness import noise_sweep
from helpers.models.encoder import build
from helpers.transforms.views import add_noise

RESULT = Path(__file__).parent / "results" / "robustness.json"
SIGMAS = sigmas_for("stl10")  # 0 to 1.5 in steps of 0.05: 31 of them


class PILImages(Dataset):
    """Images as PIL images, which a transform has to make tensors of at every visit."""

    def __init__(self, images: list[Image.Image], labels: torch.Tensor,
                 transform: Callable) -> None:
        self.images, self.labels, self.transform = images, labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def naive(predictors: dict[str, Predictor], data: Labeled, sigmas: list[float],
          seeds: range) -> None:
    """As in the ViT-BYOL project: everything from the start for each sigma, seed and method."""
    images, labels = data
    pil = [to_pil_image(image) for image in images]
    as_tensor = [transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True),
                 transforms.Normalize([0.5] * images.shape[1], [0.5] * images.shape[1])]
    with torch.inference_mode():
        for sigma in sigmas:
            for seed in seeds:
                noise = transforms.Lambda(lambda x, sigma=sigma: add_noise(x, sigma))
                for predictor in predictors.values():
                    torch.manual_seed(seed)
                    correct = similarity = 0.0
                    loaders = [
                        DataLoader(PILImages(pil, labels, transforms.Compose(steps)),
                                   batch_size=128) for steps in (as_tensor, [*as_tensor, noise])
                    ]
                    for (clean, truth), (noisy, _) in zip(*loaders, strict=True):
                        features = features_of(predictor.encoder, noisy)
                        correct += (predictor.predict(features) == truth).sum().item()
                        similarity += F.cosine_similarity(features,
                                                          features_of(predictor.encoder,
                                                                      clean)).sum().item()


def tensors(predictors: dict[str, Predictor], data: Labeled, sigmas: list[float],
            seeds: range) -> dict[str, np.ndarray]:
    """The plain loop over methods, sigmas and seeds, with all images as one tensor; its
    accuracies."""
    images, labels = data
    accuracy = {name: np.zeros((len(seeds), len(sigmas))) for name in predictors}
    for name, predictor in predictors.items():
        for column, sigma in enumerate(sigmas):
            for row, seed in enumerate(seeds):
                features = features_of(predictor.encoder, noisy_images(images, sigma, seed))
                correct = (predictor.predict(features) == labels).float()
                accuracy[name][row, column] = correct.mean().item()
                F.cosine_similarity(features, features_of(predictor.encoder, images)).mean().item()
    return accuracy


def measure(encoder: str, methods: int, seeds: int, repeats: int) -> dict:
    """CPU seconds of the three ways, the median over `repeats` rounds in which they take turns."""
    splits = load("digits", image_size=16)
    predictors = {}
    for number in range(methods):
        torch.manual_seed(number)
        model = build(encoder, channels=1, image_size=16).eval()
        predictors[f"{encoder} {number}"] = probe_predictor(
            model, linear_probe(features_of(model, splits.train.images), splits.train.labels))
    ways = {"naive": naive, "tensors": tensors, "shared": noise_sweep}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    with threads_for(splits.test.images):
        for _ in range(repeats):
            for name, way in ways.items():
                began = time.process_time()
                found[name] = way(predictors, splits.test, SIGMAS, range(seeds))
                seconds[name].append(time.process_time() - began)
    apart = max(np.abs(found["tensors"][name] - found["shared"].accuracy[name]).max()
                for name in predictors)
    if apart > 1e-6:
        raise SystemExit(
            f"the shared sweep has other accuracies than the plain loop, by up to {apart}")
    return dict(
        encoder=encoder, images=len(splits.test), methods=methods, seeds=seeds, sigmas=len(SIGMAS),
        repeats=repeats,
        seconds={name: round(statistics.median(times), 2)
                 for name, times in seconds.items()})


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=["slim", "vit_digits"],
                        help="which encoders to measure with")
    parser.add_argument("--methods", type=int, default=2,
                        help="how many methods of each, one encoder each")
    parser.add_argument("--seeds", type=int, default=3, help="noise seeds")
    parser.add_argument("--repeats", type=int, default=1, help="rounds; the median is taken")
    options = parser.parse_args()
    rows = [measure(encoder, options.methods, options.seeds, options.repeats)
            for encoder in options.encoders]
    for row in rows:
        spent = row["seconds"]
        row["ratio"] = {name: round(spent[name] / spent["shared"], 2)
                        for name in ("naive", "tensors")}
    print(pd.json_normalize(rows).filter(regex="encoder|seconds|ratio").to_string(index=False))
    machine = dict(processor=platform.machine(), python=platform.python_version(),
                   torch=torch.__version__, threads=1, device="cpu", clock="CPU seconds")
    write_atomically(RESULT, json.dumps(dict(machine=machine, rows=rows), indent=1) + "\n")
    print(f"kept in benchmarks/results/{RESULT.name}")


if __name__ == "__main__":
    main()
