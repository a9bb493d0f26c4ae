"""BYOL's recipe for the digits: what changing one number does, measured on validation.

    python -m benchmarks.digits_recipe              all variants, two seeds each

Each variant changes the recipe that the digits had as long as their views were noisy, and trains
for the preset's steps. It is judged on the digits' validation images: kNN, and linear probes on 1,
5 and 10 labels per class of train, means over ten label subsets. Test is never read. One row a
training in benchmarks/results/digits-recipe.csv, written after each; a training that is in the file
is not made again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.common.files import write_atomically
from helpers.data.loading import load
from helpers.data.splits import Splits
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import few_label_scores, knn_accuracy
from helpers.methods.build import build_method
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import BYOLRecipe
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.training.runs import fresh_encoder
from helpers.training.trainer import fit
from helpers.transforms.views import DigitView

RESULT = Path(__file__).parent / "results" / "digits-recipe.csv"
SEEDS, COUNTS, DRAWS = 2, (1, 5, 10), 10
WEAKER, STRONGER = 2 / 3, 3 / 2
CHANGES: dict[str, dict[str, Any]] = {
    "as it was": {}, "lr 1e-3": {"lr": 1e-3}, "lr 4e-3": {"lr": 4e-3},
    "ema 0.96": {"ema": 0.96}, "ema 0.99": {"ema": 0.99}, "ema 0.93": {"ema": 0.93},
    "lr 4e-3, ema 0.96": {"lr": 4e-3, "ema": 0.96},
    "hidden 512": {"hidden_dim": 512}, "projection 128": {"projection_dim": 128},
    "weaker affine": {"scaled": WEAKER}, "stronger affine": {"scaled": STRONGER},
    "no warp": {"views": {"warp": 0.0}}, "warp 0.09": {"views": {"warp": 0.09}},
    "ink 0.4": {"views": {"ink": 0.4}}, "noise 0.1": {"views": {"noise": 0.1}},
}
AFFINE = ("angle", "zoom", "stretch", "shear", "shift")  # fields of the view's affine map


def changed(usual: BYOLRecipe, changes: dict[str, Any]) -> BYOLRecipe:
    """The recipe as it was, with a variant's changes; `scaled` multiplies the views' affine map."""
    fields = {"ema": 0.98, **changes}
    if "scaled" in fields:
        factor = fields.pop("scaled")
        fields["views"] = {name: getattr(DigitView, name) * factor for name in AFFINE}
    return usual.replace(**fields)


def measured(recipe: BYOLRecipe, splits: Splits, settings: Settings) -> dict[str, float]:
    """Train once; accuracies on validation, in [0, 1]."""
    encoder = fresh_encoder(splits, settings)
    module = build_method(recipe, encoder, settings)
    fit(module, BatchLoader(splits.unlabeled, None, batch_size=recipe.batch_size,
                            steps=recipe.steps, seed=settings.seed), seed=settings.seed)
    features, seen = (extract_features(module.encoder.eval(), part.images)
                      for part in (splits.train, splits.val))
    data = features, splits.train.labels, seen, splits.val.labels
    few = {f"{count} labels": sum(few_label_scores(*data, count, DRAWS)) / DRAWS
           for count in COUNTS}
    return {"knn": knn_accuracy(*data), **few}


def main() -> None:
    """Measure what the file does not hold yet, then print means and deviations over seeds."""
    rows = pd.read_csv(RESULT).to_dict("records") if RESULT.is_file() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed in range(SEEDS):
        settings = Settings.resolve(dataset="digits", preset="quick", device="cpu", seed=seed)
        splits = load("digits", seed=seed)
        for variant, changes in CHANGES.items():
            if (variant, seed) in done:
                continue
            recipe = changed(recipe_for("byol", settings), changes)
            rows.append({"variant": variant, "seed": seed, **measured(recipe, splits, settings)})
            write_atomically(RESULT, pd.DataFrame(rows).round(4).to_csv(index=False).encode())
            print(rows[-1], file=sys.stderr)
    table = pd.DataFrame(rows).drop(columns="seed").groupby("variant", sort=False)
    print((100 * table.agg(["mean", "std"])).round(1).to_string())


if __name__ == "__main__":
    main()
