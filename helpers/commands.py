"""What `python -m helpers pretrain` and `evaluate` do: the notebooks' functions, from a shell."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.data import Splits, load
from helpers.encoders import Encoder
from helpers.errors import UserError
from helpers.settings import Settings


def pretrain(options: argparse.Namespace) -> None:
    """`pretrain METHOD`: train on unlabelled pictures and say where the encoder is."""
    from helpers import pretraining
    from helpers.distributed import is_first

    settings = Settings.resolve(dataset=options.dataset, preset=options.preset, encoder=options.encoder,
                                batch_size=options.batch_size, image_size=options.image_size, seed=options.seed,
                                noise_sigma=options.noise_sigma, noise_schedule=options.noise_schedule,
                                device=options.device, run_dir=options.out)
    splits = _load(settings)
    if options.epochs:
        steps = math.ceil(options.epochs * len(splits.unlabeled) / settings.batch_size)
        settings = settings.replace(pretrain_steps=steps, dino_steps=steps)
    run = pretraining.pretrain(options.method, splits, settings, resume=options.resume, devices=options.devices,
                               nodes=options.num_nodes)
    if not is_first():  # one of several processes says it
        return
    last = run.monitor[-1]
    print(f"{run.path}: kNN on validation {last['knn']:.1%}, spread {last['spread']:.2f}, effective rank "
          f"{last['rank']:.0f} of {last['dimensions']}, {run.seconds:.0f} s")


def evaluate(options: argparse.Namespace) -> None:
    """`evaluate CHECKPOINT`: test accuracies of an encoder by the chosen protocols."""
    encoder = _encoder(options.checkpoint).eval()
    config = encoder.config
    settings = Settings.resolve(dataset=options.dataset, seed=options.seed, image_size=config["image_size"])
    splits = _load(settings)
    if splits.channels != config["channels"]:
        raise UserError(f"{options.checkpoint} takes pictures of {config['channels']} channel(s), but {splits.name} "
                        f"has {splits.channels}: evaluate it on the kind of pictures it was trained on")
    encoder.to(settings.device)
    rows = [row for protocol in options.protocol for row in PROTOCOLS[protocol](encoder, splits, settings)]
    if options.json:
        print(json.dumps({"checkpoint": str(options.checkpoint), "dataset": splits.name, "results": rows}, indent=1))
        return
    for row in rows:
        deviation = f" ± {row['std']:.1%}" if row["n"] > 1 else ""
        print(f"{row['protocol']:<24} {row['labels_per_class']!s:>4} labels/class  {row['mean']:.1%}{deviation}  "
              f"(n {row['n']})")


def _encoder(checkpoint: str) -> Encoder:
    """Our own file, a file in another project's layout, or released weights by name."""
    from helpers.checkpoints import load, load_encoder, read_weights
    from helpers.checkpoints.manifest import entries
    from helpers.checkpoints.saving import is_own

    path = Path(checkpoint)
    if not path.exists() and checkpoint in entries():
        return load(checkpoint)[0]
    return load_encoder(path) if not path.exists() or is_own(path) else read_weights(path)[0]


def _load(settings: Settings) -> Splits:
    return load(settings.dataset, image_size=settings.image_size, seed=settings.seed, data_dir=settings.data_dir)


def _row(protocol: str, count: int, scores: list[float]) -> dict:
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return dict(protocol=protocol, labels_per_class=count or "all", mean=float(np.mean(scores)), std=deviation,
                n=len(scores))


def _features(encoder: Encoder, splits: Splits) -> tuple:
    from helpers.evaluation import extract_features

    return tuple(extract_features(encoder, part.images) for part in (splits.train, splits.test))


def _knn(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    from helpers.evaluation import knn_accuracy

    bank, queries = _features(encoder, splits)
    return [_row(f"kNN, k = {k}", 0, [knn_accuracy(bank, splits.train.labels, queries, splits.test.labels, k)])
            for k in (20, 200)]


def _linear(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    from helpers.evaluation import few_label_scores

    train, test = _features(encoder, splits)
    return [_row("linear probe", count, few_label_scores(train, splits.train.labels, test, splits.test.labels, count,
                                                         max(5, settings.draws), settings.seed))
            for count in settings.label_counts]


def _mlp(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    from helpers.evaluation import mlp_probe, score

    train, test = _features(encoder, splits)
    return [_row("MLP 512-128", 0, [score(mlp_probe(train, splits.train.labels, seed), test, splits.test.labels)
                                    for seed in range(3)])]


def _finetune(encoder: Encoder, splits: Splits, settings: Settings) -> list[dict]:
    from helpers.supervised import few_label_training

    return [_row(f"fine-tuned, {settings.finetune_steps} steps", count,
                 few_label_training(encoder, splits, settings, per_class=count, lr=5e-4, head_lr=5e-3))
            for count in settings.label_counts]


PROTOCOLS: dict[str, Callable[[Encoder, Splits, Settings], list[dict]]] = {
    "knn": _knn, "linear": _linear, "mlp": _mlp, "finetune": _finetune}
