"""Training with labels, in a handful of steps on images that are easy to tell apart."""

import csv
import dataclasses
import io

import pytest
import torch
from torch import nn

from helpers.data.splits import Labeled, Splits
from helpers.methods.presets import fine_tuning
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import build
from helpers.settings import Settings
from helpers.training import finetune as supervised
from helpers.transforms.views import CleanView


def images(count: int = 24, seed: int = 0) -> Labeled:
    """Class 0 is dark, class 1 is bright."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 60, (count, 1, 8, 8), generator=generator)
    return Labeled((noise + 190 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


@pytest.fixture
def splits() -> Splits:
    train = images()
    return Splits("digits", train.images, train, images(seed=1), images(seed=2), ("dark", "bright"))


@pytest.fixture
def settings() -> Settings:
    return Settings.resolve(preset="smoke", dataset="digits", device="cpu", seed=0, image_size=8,
                            batch_size=8, draws=2)


def encoder():
    torch.manual_seed(0)
    return build("slim", channels=1, image_size=8, width=8)


def copied(model: nn.Module) -> dict:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(model: nn.Module, before: dict) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def train(settings, data=None, steps=20, **options):
    given = {name: options.pop(name) for name in ("seed", "val", "folder", "resume", "eval_every",
                                                  "log_every", "save_every") if name in options}
    recipe = ClassifierRecipe(steps=steps, batch_size=settings.batch_size,
                              **{"lr": 1e-2, **options})
    return supervised.train_classifier(encoder(), data or images(), 2, settings, recipe,
                                       view=CleanView(), **given)


def test_a_classifier_learns_dark_from_bright(settings):
    trained = train(settings, steps=30)
    assert trained.losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert trained.losses[-1] < 0.2
    assert trained.score(images(seed=1)) == 1.0


def test_a_trained_classifier_is_in_eval_mode_with_a_loss_per_step_and_its_seconds(settings):
    trained = train(settings, steps=3)
    assert not any(module.training for module in trained.classifier.modules())
    assert len(trained.losses) == 3
    assert trained.seconds > 0


def test_training_is_the_same_for_the_same_seed_and_differs_for_another(settings):
    first, again, other = (train(settings, steps=3, seed=seed).losses for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_the_seed_of_the_settings_is_used_unless_another_is_given(settings):
    assert train(settings.replace(seed=4), steps=3).losses == train(settings, steps=3,
                                                                    seed=4).losses


def test_the_precision_is_that_of_the_settings(settings, monkeypatch):
    asked = []
    fit = supervised.fit
    monkeypatch.setattr(supervised, "fit", lambda *parts, hardware, **options: asked.append(
        hardware.half) or fit(*parts, **options))
    train(settings.replace(precision="bf16"), steps=1)
    assert asked == ["bf16"]


def test_a_curve_is_drawn_only_with_validation_images(settings):
    assert train(settings, steps=2).curve == []
    curve = train(settings, steps=2, val=images(seed=1)).curve
    assert [row["step"] for row in curve] == [1, 2]


def test_intervals_say_when_it_is_evaluated_logged_and_kept_and_a_resumed_one_logs_the_same(
        settings, tmp_path):
    ways = dict(steps=12, folder=tmp_path, eval_every=4, log_every=3, save_every=2,
                val=images(seed=1))
    run = train(settings, **ways)
    log = tmp_path / "logs" / "metrics.csv"
    whole = log.read_text()
    rows = list(csv.DictReader(io.StringIO(whole)))
    assert [row["step"] for row in run.curve] == [4, 8, 12]
    assert [row["step"] for row in rows] == ["3", "4", "6", "8", "9", "12"]
    assert [bool(row["val_loss"]) for row in rows] == [False, True, False, True, False, True]
    assert float(rows[1]["train_loss"]) == pytest.approx(run.losses[3])  # since the row of step 3
    assert float(rows[2]["train_loss"]) == pytest.approx(sum(run.losses[4:6]) / 2)
    assert list(log.parent.glob("events.out*"))
    assert {path.name for path in tmp_path.glob("epoch*")} == {"epoch-0002.ckpt", "epoch-0004.ckpt"}
    (tmp_path / "epoch-0002.ckpt").rename(tmp_path / "last.ckpt")
    again = train(settings, **ways, resume=True)
    assert again.losses == run.losses and log.read_text() == whole
    assert same(again.classifier, run.classifier.state_dict())


def test_a_training_without_validation_images_logs_too(settings, tmp_path):
    train(settings, steps=8, folder=tmp_path)
    rows = list(csv.DictReader((tmp_path / "logs" / "metrics.csv").open()))
    assert len(rows) == 8 and set(rows[0]) == {"step", "train_loss", "train_accuracy"}


def test_early_stopping_ends_a_training_that_no_longer_gets_better_and_gives_the_best_weights_back(
        settings):
    val = images(seed=1)
    wrong = Labeled(val.images, 1 - val.labels)  # the better it learns, the worse it does on these
    run = train(settings, steps=60, val=wrong, patience=3)
    losses = [row["val_loss"] for row in run.curve]
    assert len(run.losses) < 60 and len(losses) - 1 - losses.index(min(losses)) == 3
    loss = nn.functional.cross_entropy(run.classifier(CleanView()(wrong.images)), wrong.labels)
    assert loss.item() == pytest.approx(min(losses), rel=1e-3)


def test_early_stopping_leaves_a_training_alone_that_goes_on_getting_better(settings):
    run = train(settings, steps=20, val=images(seed=1), patience=20)
    assert len(run.losses) == 20


@pytest.mark.parametrize("head,kind", [("linear", nn.Linear), ("mlp", nn.Sequential)])
def test_the_recipe_names_the_head(settings, head, kind):
    assert isinstance(train(settings, steps=1, head=head).classifier.head, kind)


def test_score_is_the_share_of_right_answers(settings):
    data = images()
    trained = train(settings, steps=30)
    assert trained.score(Labeled(data.images,
                                 1 - data.labels)) == pytest.approx(1 - trained.score(data))


def few(splits, settings, start=None, **options):
    recipe = fine_tuning(settings, lr=1e-2, head_lr=1e-2, **{"steps": 4, **options.pop("but", {})})
    return supervised.few_label_training(start or encoder(), splits, settings, recipe,
                                         **{"per_class": 2, **options})


def test_few_label_training_leaves_the_given_encoder_unchanged(splits, settings):
    start = encoder()
    before = copied(start)
    few(splits, settings, start)
    assert same(start, before)


def test_few_label_training_is_reproducible(splits, settings):
    assert few(splits, settings) == few(splits, settings)


def test_few_label_training_scores_every_draw(splits, settings):
    scores = few(splits, settings.replace(draws=3))
    assert len(scores) == 3
    assert all(0 <= score <= 1 for score in scores)


@pytest.fixture
def calls(monkeypatch):
    """What `few_label_training` asks of `train_classifier`, with nothing trained."""
    asked = []

    def note(model, data, classes, settings, recipe, **options):
        asked.append(dict(options, model=model, data=data, classes=classes, steps=recipe.steps))
        return dataclasses.replace(supervised.Trained(None, [], [], 0.0))

    monkeypatch.setattr(supervised, "train_classifier", note)
    monkeypatch.setattr(supervised.Trained, "score", lambda self, data: data)
    return asked


def test_each_draw_trains_a_fresh_copy_on_its_own_labels(splits, settings, calls):
    start = encoder()
    few(splits, settings, start, per_class=3)
    assert [torch.bincount(call["data"].labels).tolist() for call in calls] == [[3, 3], [3, 3]]
    assert not torch.equal(calls[0]["data"].images, calls[1]["data"].images)
    assert len({id(call["model"]) for call in calls} | {id(start)}) == 3


def test_all_labels_are_one_draw_trained_from_several_seeds(splits, settings, calls):
    few(splits, settings, per_class=0)
    assert [call["seed"] for call in calls] == [0, 1]
    assert all(torch.equal(call["data"].images, splits.train.images) for call in calls)


def test_few_labels_are_judged_on_test_unless_told_otherwise(splits, settings, calls):
    assert few(splits, settings) == [splits.test, splits.test]
    assert few(splits, settings, evaluate_on=splits.val) == [splits.val, splits.val]


def test_the_presets_steps_are_used_unless_others_are_given(splits, settings, calls):
    few(splits, settings, but=dict(steps=fine_tuning(settings).steps))
    few(splits, settings, but=dict(steps=9))
    assert {call["steps"] for call in calls[:2]} == {settings.finetune_steps}
    assert {call["steps"] for call in calls[2:]} == {9}
