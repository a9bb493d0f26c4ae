"""Searching noise-BYOL's hyper-parameters with optuna (notebook 11), which is an optional extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from helpers.common.errors import UserError
from helpers.common.fields import number_of
from helpers.common.progress_bar import progress
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import outputs
from helpers.evaluation.noise import noisy_images
from helpers.evaluation.probes import knn_accuracy
from helpers.methods.build import build_method
from helpers.methods.byol import BYOL
from helpers.methods.presets import SMALL_ENCODERS, recipe_for
from helpers.methods.recipes import BYOLRecipe
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.training.runs import fresh_encoder
from helpers.training.trainer import Hardware, fit

if TYPE_CHECKING:
    import optuna

INSTALL = 'this needs optuna: run `pip install "optuna>=4.0"`, restart the kernel and run all again'
EVALUATIONS = 4  # on validation, in a trial
STARTUP = 6  # trials that are drawn at random and all go to their end, for comparison
# name -> lowest, highest and whether on a logarithmic scale, or a list of choices
SPACE: dict[str, Any] = {
    "lr": (3e-4, 2e-2, True), "momentum gap": (3e-3, 0.2, True), "sigma": (0.3, 4.0, False),
    "hidden": [64, 128, 256, 512], "projection": [32, 64, 128]
}
# what a larger encoder has in place of these: its recipe's heads are those of the papers
LARGE: dict[str, Any] = {
    "lr": (1e-5, 1e-2, True), "hidden": [512, 1024, 2048, 4096], "projection": [64, 128, 256]
}


def space_for(settings: Settings) -> dict[str, Any]:
    """What is searched for the settings' encoder, in the form of `SPACE`."""
    return SPACE if settings.encoder in SMALL_ENCODERS else {**SPACE, **LARGE}


def available() -> bool:
    """Whether optuna is here."""
    return importlib.util.find_spec("optuna") is not None


def usual(settings: Settings) -> dict[str, float]:
    """The other notebooks' recipe for noise-BYOL as values of its space, the nearest of choices."""
    recipe, space = recipe_for("noise-byol", settings), space_for(settings)
    widths = {"hidden": recipe.hidden_dim, "projection": recipe.projection_dim}
    nearest = {name: min(space[name], key=lambda choice, width=width: abs(choice - width))
               for name, width in widths.items()}
    return {"lr": recipe.lr, "momentum gap": round(1 - recipe.ema, 6), "sigma": recipe.noise[1],
            **nearest}


def width_trials(space: dict[str, Any]) -> list[dict[str, int]]:
    """Trials that only fix the widths, so that each choice is tried at least once: what no trial
    has tried cannot be judged."""
    hidden, projection = space["hidden"], space["projection"]
    return [{"hidden": width, "projection": projection[number % len(projection)]}
            for number, width in enumerate(hidden)]


def recipe_of(values: dict[str, float], settings: Settings, steps: int) -> BYOLRecipe:
    """The recipe that `values` of `SPACE` stand for."""
    usual = recipe_for("noise-byol", settings.replace(noise_schedule="ramp"))
    sigmas = min(usual.noise[0], values["sigma"]), values["sigma"]
    return usual.replace(steps=steps, lr=values["lr"], ema=1 - values["momentum gap"], noise=sigmas,
                         hidden_dim=int(values["hidden"]),
                         projection_dim=int(values["projection"]))


def robust_knn(encoder: Any, splits: Splits, part: Labeled, sigma: float, seed: int = 0) -> float:
    """kNN accuracy on `part`, mean of clean and noisy images, against clean training images."""
    bank = outputs(encoder, splits.train.images)
    queries = (part.images, noisy_images(part.images, sigma, seed))
    return sum(
        knn_accuracy(bank, splits.train.labels, outputs(encoder, images), part.labels)
        for images in queries) / 2


def eval_interval(steps: int) -> int:
    """Steps between two evaluations of a trial."""
    return max(1, steps // EVALUATIONS)


class Watch(Callback):
    """Evaluates the encoder after every `eval_interval` and ends the training where
    `judge(score, step)` says so."""

    def __init__(self, splits: Splits, sigma: float, judge: Any) -> None:
        self.splits, self.sigma, self.judge = splits, sigma, judge
        self.scores: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step % eval_interval(trainer.max_steps) == 0:
            self.scores.append(robust_knn(module.encoder, self.splits, self.splits.val, self.sigma))
            trainer.should_stop = trainer.should_stop or self.judge(self.scores[-1], step)


def train(values: dict[str, float], splits: Splits, settings: Settings, steps: int,
          watch: Watch | None = None) -> BYOL:
    """Noise-BYOL with `values` of `SPACE`, for `steps` steps; with a `watch` it may end sooner."""
    recipe = recipe_of(values, settings, steps)
    module = build_method(recipe, fresh_encoder(splits, settings), settings)
    loader = BatchLoader(splits.unlabeled, None, batch_size=recipe.batch_size, steps=steps,
                         seed=settings.seed, device=settings.device)
    fit(module, loader, seed=settings.seed, callbacks=[watch] if watch else [],
        hardware=Hardware(half=settings.precision))
    return module


def open_study(name: str, storage: Path, settings: Settings) -> optuna.Study:
    """The study of that name in a SQLite file, new or as it was left.

    TPE (Bergstra et al. 2011) proposes; a trial that is worse at an evaluation than the median of
    the finished ones is pruned.

    Raises:
        UserError: optuna is not installed, or the file is none of its own.
    """
    if not available():
        raise UserError(INSTALL)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    try:
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{storage}",
                                    direction="maximize", load_if_exists=True,
                                    pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP))
    except Exception as error:
        raise UserError(f"{storage} cannot be used as a study ({type(error).__name__}): move it "
                        "away") from None
    # the sampler starts anew with a study; the same seed would propose the same points again
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials),
                                               n_startup_trials=STARTUP)
    if not study.trials:
        study.enqueue_trial(usual(settings))
        for choices in width_trials(space_for(settings)):
            study.enqueue_trial(choices)
    return study


def run(study: optuna.Study, splits: Splits, settings: Settings, *, trials: int, steps: int,
        sigma: float) -> None:
    """Go on until the study has `trials` finished or pruned trials of `steps` steps; `sigma` is
    that of the noise on validation images, normalised units.

    Raises:
        UserError: earlier trials have chosen from another `SPACE`, or a number cannot be.
    """
    import optuna

    for name, value in (("trials", trials), ("steps", steps)):
        number_of(name, value, "int", 1)
    number_of("sigma", sigma, "float", 0)
    _check_space(study, space_for(settings))

    def objective(trial: optuna.Trial) -> float:
        def judge(score: float, step: int) -> bool:
            trial.report(score, step)
            return trial.should_prune()

        watch = Watch(splits, sigma, judge)
        train(suggest(trial, space_for(settings)), splits, settings, steps, watch)
        if len(watch.scores) < steps // eval_interval(steps):
            raise optuna.TrialPruned
        return watch.scores[-1]

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    done = len(study.get_trials(deepcopy=False, states=ended))
    with progress(None, "search", "trials", total=max(trials, done), initial=done) as bar:
        def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            complete = any(trial.state.name == "COMPLETE" for trial in study.trials)
            best = f"{study.best_value:.1%}" if complete else "none yet"
            bar.set_postfix(best=best, refresh=False)
            bar.update()

        study.optimize(objective, n_trials=max(0, trials - done), callbacks=[tell],
                       catch=(UserError,))


def _check_space(study: optuna.Study, space: dict[str, Any]) -> None:
    """Raise a UserError where a choice of earlier trials differs from that of `space`; limits of
    numbers may move."""
    for name, limits in space.items():
        kind = (tuple(limits), None) if isinstance(limits, list) else (None, limits[2])
        earlier = [trial.distributions[name] for trial in study.trials
                   if name in trial.distributions]
        if any((getattr(each, "choices", None), getattr(each, "log", None)) != kind
               for each in earlier):
            raise UserError(
                f"the study {study.study_name} was made with other choices of {name}: give the "
                "new search another name, or take the choices back")


def suggest(trial: optuna.Trial, space: dict[str, Any]) -> dict[str, float]:
    """A point of a space such as `SPACE`."""
    return {
        name: trial.suggest_categorical(name, limits) if isinstance(limits, list) else
        trial.suggest_float(name, limits[0], limits[1], log=limits[2])
        for name, limits in space.items()
    }


def rows(study: optuna.Study) -> list[dict[str, Any]]:
    """The trials that ended, in order: number, values, pruned, score (the last evaluation's),
    evaluations (step to score)."""
    return [
        dict(number=trial.number, values=trial.params, pruned=trial.state.name == "PRUNED",
             score=list(trial.intermediate_values.values())[-1],
             evaluations=dict(trial.intermediate_values))
        for trial in study.trials
        if trial.state.name in ("COMPLETE", "PRUNED") and trial.intermediate_values
    ]


def importances(study: optuna.Study, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Shares of the finished trials' variance that hyper-parameters explain: fANOVA (Hutter et al.
    2014), each with the smallest and largest share when any one of the trials is left out."""
    import optuna

    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    trials = [trial for trial in study.trials if trial.state.name == "COMPLETE"]

    def of(some: list) -> dict[str, float]:
        if len({trial.value for trial in some}) < 2:  # equal scores have no variance to explain
            return {}
        part = optuna.create_study(direction="maximize")
        part.add_trials(some)
        return optuna.importance.get_param_importances(part, evaluator=evaluator)

    without = [of(trials[:left] + trials[left + 1:]) for left in range(len(trials))]
    return {name: (share, *(end(share, *(each.get(name, 0.0) for each in without))
                            for end in (min, max))) for name, share in of(trials).items()}
