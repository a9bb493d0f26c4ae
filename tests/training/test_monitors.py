"""Watching a training: what is measured, when, and that a collapse is seen and said once."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.data.splits import Labeled
from helpers.evaluation import collapse
from helpers.evaluation.collapse import effective_rank, feature_std
from helpers.evaluation.features import extract_features
from helpers.evaluation.probes import knn_accuracy
from helpers.training import accuracy_curve
from helpers.training import monitor as monitors
from helpers.training.callbacks import History, epoch_of
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit


def images(count: int = 40, seed: int = 0) -> Labeled:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return Labeled(images, torch.arange(count) % 2)


class Module(pl.LightningModule):
    """An encoder that ignores (`constant`) or keeps its image, and a loss that changes nothing."""

    def __init__(self, constant: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
        if constant:
            nn.init.zeros_(self.encoder[1].weight)

    def training_step(self, batch, index):
        return self.encoder(batch[0] / 127.5 - 1).sum() * 0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def watch(constant: bool, steps: int = 6, every: int = 2, count: int = 40, folder=None, **options):
    torch.manual_seed(0)
    monitor = monitors.Monitor(images(count), images(count, seed=1), every, **options)
    module = Module(constant)
    history = fit(module, BatchLoader(*images(), batch_size=8, steps=steps), callbacks=[monitor],
                  folder=folder, resume=folder is not None)
    return monitor, module, history


def trainer_at(step: int, should_stop: bool = False):
    """What a monitor asks of a trainer."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return SimpleNamespace(global_step=step, max_steps=99, should_stop=should_stop,
                           callbacks=[History()], optimizers=[optimizer],
                           strategy=SimpleNamespace(broadcast=lambda value: value),
                           train_dataloader=BatchLoader(*images(), batch_size=8, steps=99))


@pytest.mark.parametrize("values,expected", [((0.9, 30.0), False), ((0.1, 2.0), False),
                                             ((0.09, 30.0), True), ((0.9, 1.9), True),
                                             ((0.0, 1.0), True)])
def test_a_low_feature_std_or_a_low_rank_is_a_collapse(values, expected):
    assert collapse.collapsed(dict(zip(("feature_std", "rank"), values, strict=True))) is expected


@pytest.mark.parametrize("values,expected", [((0.9, 30.0), False), ((0.09, 30.0), True),
                                             ((0.9, 1.9), True)])
def test_projections_that_are_one_point_are_a_collapse_of_healthy_features(values, expected):
    row = dict(feature_std=0.6, rank=32.0, projection_std=values[0], projection_rank=values[1])
    assert collapse.collapsed(row) is expected


def test_a_constant_projector_is_reported_though_the_features_are_healthy(capsys):
    module = Module(constant=False)
    module.projector = nn.Linear(8, 4)
    nn.init.zeros_(module.projector.weight)
    monitor = monitors.Monitor(images(), images(seed=1), 1)
    monitor.evaluate(trainer_at(3), module)
    row = monitor.rows[-1]
    assert row["projection_std"] < 1e-4 < 0.5 < row["feature_std"] and monitor.collapsed_at == 3
    assert capsys.readouterr().out.startswith(
        "collapse at step 3: projection std 0.000, effective rank")


def test_a_constant_encoder_is_reported_once_in_lines_that_fit_a_notebook(capsys):
    monitor, _, history = watch(constant=True)
    out = capsys.readouterr().out
    assert out.startswith(
        "collapse at step 2: feature std 0.000, effective rank 1.0 of 8; usual causes")
    assert out.count("collapse at") == 1 and max(map(len, out.splitlines())) <= 90
    assert all(collapse.collapsed(row) for row in monitor.rows)
    assert len(history.losses) == 6


def test_a_collapse_ends_the_training_where_it_should(capsys):
    monitor, _, history = watch(constant=True, stop=True)
    assert len(history.losses) == 2 and monitor.collapsed_at == 2
    said = capsys.readouterr().out
    assert said.count("collapse") == 1 and said.endswith("The training ends here.\n")


def test_a_training_that_a_collapse_has_ended_stays_ended_until_it_may_go_on(tmp_path, capsys):
    watch(constant=True, stop=True, folder=tmp_path)
    capsys.readouterr()
    monitor, _, history = watch(constant=True, stop=True, folder=tmp_path)
    assert len(history.losses) == 2 and [row["step"] for row in monitor.rows] == [0, 2]
    assert capsys.readouterr().out.startswith("collapse at step 2: feature std 0.000")
    _, _, history = watch(constant=True, stop=False, folder=tmp_path)
    assert len(history.losses) == 6 and capsys.readouterr().out == ""


@pytest.mark.parametrize("count,said", [(monitors.ENOUGH // 2 - 1, False),
                                        (monitors.ENOUGH // 2, True)])
def test_few_images_are_not_called_a_collapse(count, said, capsys):
    watch(constant=True, count=count)
    assert bool(capsys.readouterr().out) is said


def test_training_images_count_where_those_of_validation_are_few():
    """The rank of n images is at most n - 1: with 4 of validation alone a good encoder would look
    collapsed."""
    torch.manual_seed(0)
    monitor, encoder = monitors.Monitor(images(60), images(4, seed=1), 1), Module(constant=False)
    row, few = monitor.measure(encoder), extract_features(encoder.encoder,
                                                             images(4, seed=1).images)
    assert effective_rank(few) < 3 < 5 < row["rank"]


def test_a_loss_that_is_no_number_is_said_before_the_evaluation(capsys):
    module = Module(constant=False)
    nn.init.constant_(module.encoder[1].weight, float("nan"))
    monitor = monitors.Monitor(images(), images(seed=1), every=2)
    monitor.rows.append({"step": 0})  # the weights were spoiled after the first evaluation
    with pytest.raises(UserError,
                       match="the loss became nan at step 1: try a smaller learning rate"):
        fit(module, BatchLoader(*images(), batch_size=8, steps=6), callbacks=[monitor])
    assert capsys.readouterr().out == ""


def test_features_that_are_no_numbers_end_the_training_in_one_line():
    module = Module(constant=False)
    nn.init.constant_(module.encoder[1].weight, float("nan"))
    with pytest.raises(
            UserError,
            match="a feature became NaN or infinite at step 3: try a smaller") as caught:
        monitors.Monitor(images(), images(), 1).evaluate(trainer_at(3), module)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stop", [True, False])
def test_a_collapse_sets_should_stop_only_when_asked(stop):
    trainer = trainer_at(3)
    monitors.Monitor(images(), images(), 1, stop=stop).evaluate(trainer, Module(constant=True))
    assert trainer.should_stop is stop


def test_a_collapse_does_not_take_back_somebody_elses_stop():
    trainer = trainer_at(3, should_stop=True)
    monitors.Monitor(images(), images(), 1).evaluate(trainer, Module(constant=True))
    assert trainer.should_stop


def test_an_untrained_encoder_is_not_called_collapsed(capsys):
    trainer = trainer_at(0)
    monitor = monitors.Monitor(images(), images(), 1, stop=True)
    monitor.evaluate(trainer, Module(constant=True))
    assert (capsys.readouterr().out, trainer.should_stop, monitor.collapsed_at) == ("", False, None)


@pytest.mark.parametrize("batches,reported", [(collapse.SETTLED - 1, False),
                                              (collapse.SETTLED, True)])
def test_running_statistics_that_have_not_settled_are_no_collapse(batches, reported, capsys):
    module = Module(constant=True)
    module.encoder.append(nn.BatchNorm1d(8))
    module.encoder[2].num_batches_tracked += batches
    trainer = trainer_at(batches)
    monitor = monitors.Monitor(images(), images(), 1, stop=True)
    monitor.evaluate(trainer, module)
    assert (bool(capsys.readouterr().out), trainer.should_stop) == (reported, reported)
    assert monitor.collapsed_at == (batches if reported else None)


def test_evaluations_stay_a_small_part_of_a_short_training_and_see_enough_in_a_long_one():
    short, long = (monitors.images_for_evaluation(64, steps) for steps in (24, 1100))
    work = 8 * 64 * 24  # forward passes; an evaluation takes one for each image of either kind
    assert short >= monitors.FEWEST and 13 * 2 * short < 0.2 * work
    assert 3000 < long <= monitors.LIMIT == monitors.images_for_evaluation(64, 40_000)
    assert monitors.images_for_evaluation(64, 1) == monitors.FEWEST


def test_a_healthy_encoder_is_not_reported(capsys):
    monitor, _, history = watch(constant=False, stop=True)
    assert capsys.readouterr().out == ""
    assert len(history.losses) == 6


def test_evaluations_are_at_the_start_every_few_steps_and_at_the_end():
    assert [row["step"] for row in watch(constant=False, steps=8, every=3)[0].rows] == [0, 3, 6, 8]


def test_the_last_evaluation_is_not_preceded_by_another_one_just_before():
    assert [row["step"] for row in watch(constant=False, steps=7, every=3)[0].rows] == [0, 3, 7]


@pytest.mark.parametrize(
    "train,unlabelled,steps,expected",
    [
        (200, 64_000, 40_000, 1000),  # an epoch of 1,000 steps
        (200, 64_000, 6_000, 500),  # twelve times at least, though an epoch is longer
        # an epoch of 10 steps: an evaluation each would cost more than the training
        (2000, 640, 40_000, 150),
        (200, 640, 5, 1)
    ])
def test_evaluations_come_each_epoch_unless_that_is_too_seldom_or_too_dear(train, unlabelled, steps,
                                                                     expected):
    splits = SimpleNamespace(train=images(train), val=images(304 if train == 2000 else 104),
                             unlabeled=torch.zeros(unlabelled, 1))
    assert monitors.eval_interval(splits, 64, steps) == expected


def test_a_row_holds_the_numbers_of_the_evaluation():
    monitor, module, _ = watch(constant=False)
    bank, queries = (extract_features(module.encoder, part.images)
                     for part in (images(), images(seed=1)))
    row, both = monitor.rows[-1], torch.cat([queries, bank])
    assert row["dimensions"] == 8
    assert row["feature_std"] == pytest.approx(feature_std(both), rel=1e-4)
    assert row["rank"] == pytest.approx(effective_rank(both), rel=1e-4)
    assert row["knn"] == knn_accuracy(bank, images().labels, queries, images(seed=1).labels)


def test_at_most_limit_images_are_used():
    monitor, module, _ = watch(constant=False, limit=10)
    assert monitor.rows[-1]["feature_std"] == pytest.approx(
        feature_std(extract_features(module.encoder, images(seed=1).images[:10])), rel=1e-4)


def test_the_monitor_leaves_training_mode_on():
    _, module, _ = watch(constant=False)
    assert module.encoder.training


def test_the_state_of_a_monitor_goes_round():
    monitor, _, _ = watch(constant=True)
    again = monitors.Monitor(images(), images(), 2)
    again.load_state_dict(monitor.state_dict())
    assert (again.rows, again.collapsed_at) == (monitor.rows, 2)


def test_the_state_of_an_earlier_release_is_read_under_todays_names():
    """What is now feature_std was called spread, and the loss and rates were kept by `Logs`."""
    row = {"step": 4, "dimensions": 8, "spread": 0.7, "rank": 3.0, "knn": 0.5}
    monitor = monitors.Monitor(images(), images(), 2)
    monitor.load_state_dict({"rows": [row], "collapsed_at": None})
    assert monitor.rows == [{"step": 4, "dimensions": 8, "feature_std": 0.7, "rank": 3.0,
                             "knn": 0.5}]
    states = {"Monitor": {"rows": [row]}, "Logs": {"rows": [row | {"loss": 2.0}]}}
    monitor.on_load_checkpoint(None, None, {"callbacks": states})
    monitor.load_state_dict(states["Monitor"])
    assert monitor.rows[0]["feature_std"] == 0.7 and monitor.rows[0]["loss"] == 2.0


def test_a_resumed_monitor_does_not_evaluate_at_the_start_again():
    monitor = monitors.Monitor(images(), images(), 2)
    monitor.load_state_dict({"rows": [{"step": 4}], "collapsed_at": None})
    monitor.on_train_start(SimpleNamespace(global_step=4), Module(constant=False))
    assert monitor.rows == [{"step": 4}]


def evaluations(steps: int, count: int) -> list[int]:
    curve = accuracy_curve.AccuracyCurve(images(), images(seed=1))
    curve.evaluations = count
    for step in range(1, steps + 1):
        curve.on_train_batch_end(SimpleNamespace(global_step=step, max_steps=steps),
                                 Module(constant=False).encoder)
    return [row["step"] for row in curve.rows]


def test_an_accuracy_curve_evaluates_evenly_and_at_the_end():
    assert evaluations(12, 4) == [3, 6, 9, 12]
    assert evaluations(10, 4) == [2, 4, 6, 8, 10]
    assert evaluations(3, 8) == [1, 2, 3]


def test_an_accuracy_curve_holds_accuracies_and_the_loss_on_validation(monkeypatch):
    monkeypatch.setattr(accuracy_curve, "LIMIT", 30)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(16, 2)).train()
    train, val = images(), images(seed=1)
    curve = accuracy_curve.AccuracyCurve(train, val)
    curve.on_train_batch_end(SimpleNamespace(global_step=5, max_steps=5), model)
    (row,) = curve.rows
    assert model.training
    with torch.inference_mode():
        seen, unseen = (model.eval()(part.images[:30] / 127.5 - 1) for part in (train, val))
    assert row["train_accuracy"] == pytest.approx(
        (seen.argmax(1) == train.labels[:30]).float().mean().item())
    assert row["val_accuracy"] == pytest.approx(
        (unseen.argmax(1) == val.labels[:30]).float().mean().item())
    assert row["val_loss"] == pytest.approx(
        F.cross_entropy(unseen, val.labels[:30]).item(), rel=1e-4)


@pytest.mark.parametrize(("step", "steps", "per_epoch", "epoch"), [
    (1, 21, 20.27, 1), (21, 21, 20.27, 1), (41, 41, 20.27, 2), (21, 41, 20.27, 2), (1, 1, 20.27, 1),
    (40, 40, 0.5, 80), (3, 3, 1.0, 3)])
def test_a_training_of_some_epochs_ends_in_the_last_of_them(step, steps, per_epoch, epoch):
    assert epoch_of(step, steps, per_epoch) == epoch
