"""The methods of notebook 07, so that all of them can be trained once more from another seed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from helpers.common.fields import number_of
from helpers.data.splits import Splits
from helpers.evaluation.noise import sigmas_for
from helpers.evaluation.predictors import Predictor, best_probe, classifier_predictor
from helpers.evaluation.robustness import Sweep
from helpers.methods.presets import usual_noise
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import Encoder
from helpers.models.weights.choose import Choice
from helpers.settings import Settings
from helpers.training.find import chosen_encoder, find_or_pretrain
from helpers.training.finetune import Trained, train_classifier
from helpers.training.runs import fresh_encoder
from helpers.transforms.views import Noisy, view_for

FAINTEST = 1e-6  # deviation of a noise, in normalised units: noise-BYOL without noise is BYOL


def noise_encoders(splits: Splits, settings: Settings, sigma: float) -> dict[str, Encoder]:
    """Noise-BYOL over the dataset's range of noise, and at one constant `sigma`, whose milder noise
    forgives fewer steps: the preset's `second_share`.

    Raises:
        UserError: `sigma` is no number above zero.
    """
    sigma = number_of("SECOND_SIGMA", sigma, "float", FAINTEST)
    steps = int(settings.second_share * settings.pretrain_steps)
    constant = settings.replace(noise_sigma=sigma, noise_schedule="constant",
                                pretrain_steps=max(2, steps))
    return {"noise-BYOL": find_or_pretrain("noise-byol", splits, settings),
            f"noise-BYOL, sigma {sigma:g}": find_or_pretrain("noise-byol", splits, constant)}


def supervised_classifiers(splits: Splits, settings: Settings) -> dict[str, Trained]:
    """The encoder trained with all labels and BYOL's augmentation: without noise, and with noise
    of any deviation up to noise-BYOL's most."""
    view = view_for(settings.dataset, settings.image_size,
                    fresh_encoder(splits, settings).patch_size)
    most = usual_noise(settings.dataset)[1]
    labelled = ClassifierRecipe(steps=settings.supervised_steps, batch_size=settings.batch_size)
    augmentations = {"supervised": view, "supervised + noise": Noisy(view, (0.0, most))}
    return {
        name: train_classifier(fresh_encoder(splits, settings), splits.train, len(splits.classes),
                               settings, labelled, view=augment, title=name)
        for name, augment in augmentations.items()
    }


def noise_predictors(splits: Splits, settings: Settings, sigma: float, choice: Choice,
                     name: str) -> dict[str, Predictor]:
    """All the above for the settings' seed, the chosen encoder (called `name`) and raw pixels;
    `sigma` is that of the second noise-BYOL."""
    middle = max(sigmas_for(settings.dataset)) / 2
    chosen, _ = chosen_encoder(choice, splits, settings)
    encoders = {name: chosen, **noise_encoders(splits, settings, sigma), "raw pixels": None}
    predictors = {name: classifier_predictor(trained.classifier)
                  for name, trained in supervised_classifiers(splits, settings).items()}
    return predictors | {name: best_probe(encoder, splits, middle, settings.seed)
                         for name, encoder in encoders.items()}


def sweep_rows(sweeps: Mapping[int, Sweep]) -> pd.DataFrame:
    """`noise_sweep`s of several training seeds as rows: method, training_seed, noise_seed (its
    number), sigma, accuracy, similarity."""
    rows = [
        dict(method=name, training_seed=seed, noise_seed=row, sigma=sigma,
             accuracy=round(accuracy[row, column], 4),
             similarity=round(sweep.similarity[name][row, column], 4))
        for seed, sweep in sweeps.items()
        for name, accuracy in sweep.accuracy.items()
        for row in range(len(accuracy))
        for column, sigma in enumerate(sweep.sigmas)
    ]
    return pd.DataFrame(rows)
