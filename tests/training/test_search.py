"""The search: what it proposes, what it prunes, and that it goes on where it was."""

import pytest
import torch

from helpers.common.errors import UserError
from helpers.data.loading import load
from helpers.methods.presets import recipe_for
from helpers.settings import Settings
from helpers.training import search

optuna = pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def splits():
    return load("digits")


@pytest.fixture
def settings(tmp_path):
    return Settings.resolve(preset="smoke", dataset="digits", run_dir=tmp_path, batch_size=16)


def fixed(scores):
    """Trainings that take no time: each trial's evaluations are given."""
    trials = iter(scores)

    def train(values, splits, settings, steps, watch):
        for step, score in enumerate(next(trials), start=1):
            watch.scores.append(score)
            if watch.judge(score, step):
                return

    return train


def test_the_usual_recipe_lies_within_what_is_searched(settings):
    for name, value in search.usual(settings).items():
        limits = search.SPACE[name]
        assert value in limits if isinstance(limits, list) else limits[0] <= value <= limits[1]


@pytest.mark.parametrize("encoder", ["vit_digits", "vit_small", "resnet50"])
def test_other_encoders_have_a_space_around_their_own_recipe(encoder, settings):
    own = settings.replace(encoder=encoder)
    recipe, space, usual = recipe_for("noise-byol", own), search.space_for(own), search.usual(own)
    assert (usual["hidden"], usual["projection"]) == (recipe.hidden_dim, recipe.projection_dim)
    low, high, _ = space["lr"]
    assert low < usual["lr"] < high
    assert {trial["hidden"] for trial in search.width_trials(space)} == set(space["hidden"])


def test_the_first_trial_is_the_usual_recipe_and_later_ones_lie_in_the_space(
        splits, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(search, "train", fixed([[0.1, 0.2, 0.3, 0.4]] * 6))
    study = search.open_study("s", tmp_path / "s.db", settings)
    search.run(study, splits, settings, trials=6, steps=4, sigma=1.0)
    rows = search.rows(study)
    assert rows[0]["values"] == search.usual(settings)
    for row in rows:
        for name, limits in search.SPACE.items():
            value = row["values"][name]
            assert value in limits if isinstance(limits, list) else limits[0] <= value <= limits[1]
    assert len({row["values"]["lr"] for row in rows}) == 6
    assert {row["values"]["hidden"] for row in rows} == set(search.SPACE["hidden"])


def test_a_trial_below_the_median_is_pruned_and_a_good_one_is_not(splits, settings, tmp_path,
                                                                  monkeypatch):
    good, bad = [0.5, 0.6, 0.7, 0.8], [0.1, 0.1, 0.1, 0.1]
    monkeypatch.setattr(search, "STARTUP", 3)
    monkeypatch.setattr(search, "train", fixed([good, good, good, bad, [0.6, 0.7, 0.8, 0.9]]))
    study = search.open_study("s", tmp_path / "s.db", settings)
    search.run(study, splits, settings, trials=5, steps=4, sigma=1.0)
    rows = search.rows(study)
    assert [row["pruned"] for row in rows] == [False, False, False, True, False]
    assert rows[3]["evaluations"] == {1: 0.1} and rows[3]["score"] == 0.1
    assert study.best_value == 0.9
    found = search.importances(study)
    assert sum(share for share, _, _ in found.values()) == pytest.approx(1)
    assert all(low <= share <= high for share, low, high in found.values())


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7])
def test_a_trial_of_a_few_steps_comes_to_its_end(splits, settings, tmp_path, monkeypatch, steps):
    count = steps // search.eval_interval(steps)
    monkeypatch.setattr(search, "train", fixed([[0.5] * count] * 2))
    study = search.open_study("s", tmp_path / "s.db", settings)
    search.run(study, splits, settings, trials=2, steps=steps, sigma=1.0)
    assert [row["pruned"] for row in search.rows(study)] == [False, False]


@pytest.mark.parametrize(("name", "limits", "fits"), [
    ("hidden", [64, 128], False), ("hidden", [64, 128, 256, 512, 1024], False),
    ("lr", [1e-3, 1e-2], False), ("sigma", (0.1, 0.2, False), True)])
def test_a_study_of_other_choices_is_one_line_and_other_limits_go_on(
        splits, settings, tmp_path, monkeypatch, name, limits, fits):
    monkeypatch.setattr(search, "train", fixed([[0.1, 0.2, 0.3, 0.4]] * 2))
    study = search.open_study("s", tmp_path / "s.db", settings)
    search.run(study, splits, settings, trials=1, steps=4, sigma=1.0)
    monkeypatch.setitem(search.SPACE, name, limits)
    again = search.open_study("s", tmp_path / "s.db", settings)
    if fits:
        search.run(again, splits, settings, trials=2, steps=4, sigma=1.0)
        assert len(search.rows(again)) == 2
    else:
        with pytest.raises(UserError, match=f"other choices of {name}"):
            search.run(again, splits, settings, trials=2, steps=4, sigma=1.0)


def test_a_study_goes_on_where_it_was_and_proposes_other_points(splits, settings, tmp_path,
                                                                monkeypatch):
    monkeypatch.setattr(search, "train", fixed([[0.1, 0.2, 0.3, 0.4]] * 5))
    search.run(search.open_study("s", tmp_path / "s.db", settings), splits, settings, trials=3,
               steps=4, sigma=1.0)
    again = search.open_study("s", tmp_path / "s.db", settings)
    assert len(search.rows(again)) == 3
    search.run(again, splits, settings, trials=5, steps=4, sigma=1.0)
    search.run(again, splits, settings, trials=5, steps=4, sigma=1.0)  # nothing is left to do
    rates = [row["values"]["lr"] for row in search.rows(again)]
    assert len(rates) == len(set(rates)) == 5


def test_a_training_takes_the_values_and_is_scored_at_its_evaluations(splits, settings):
    judged = []
    watch = search.Watch(splits, 1.0, lambda score, step: judged.append((step, score)))
    values = {"lr": 1e-3, "momentum gap": 0.1, "sigma": 0.7, "hidden": 64, "projection": 32}
    module = search.train(values, splits, settings, 8, watch)
    assert [step for step, _ in judged] == [2, 4, 6, 8] and [score
                                                             for _, score in judged] == watch.scores
    assert module.recipe.ema == pytest.approx(0.9) and module.recipe.lr == 1e-3
    assert module.views[1].sigma == (recipe_for("noise-byol", settings).noise[0], 0.7) == (0.6, 0.7)
    assert module.predictor.layers[0].out_features == 64
    assert watch.scores[-1] == pytest.approx(
        search.robust_knn(module.encoder, splits, splits.val, 1.0))


def test_the_first_trial_trains_as_noise_byol_does(splits, settings):
    module = search.train(search.usual(settings), splits, settings, 2)
    recipe = recipe_for("noise-byol", settings)
    assert module.views[1].sigma == recipe.noise
    assert module.recipe == recipe.replace(steps=2, ema=module.recipe.ema)
    assert module.recipe.ema == pytest.approx(recipe.ema)


def test_a_watch_ends_the_training_when_it_is_told_to(splits, settings):
    watch = search.Watch(splits, 1.0, lambda score, step: step >= 4)
    search.train(search.usual(settings), splits, settings, 8, watch)
    assert len(watch.scores) == 2


def test_the_score_is_the_mean_of_clean_and_noisy_images(splits):
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 16))
    quiet = search.robust_knn(encoder, splits, splits.val, 0.0)
    loud = search.robust_knn(encoder, splits, splits.val, 50.0)
    # of the noisy ones hardly any is right, of the clean ones all as before
    assert quiet / 2 < loud < quiet / 2 + 0.15


def test_without_optuna_one_line_says_how_to_get_it(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not search.available()
    with pytest.raises(UserError, match="pip install"):
        search.open_study("s", tmp_path / "s.db", settings)


def test_a_file_that_is_no_study_is_left_alone(settings, tmp_path):
    (tmp_path / "s.db").write_text("notes")
    with pytest.raises(UserError, match="cannot be used as a study"):
        search.open_study("s", tmp_path / "s.db", settings)
    assert (tmp_path / "s.db").read_text() == "notes"


@pytest.mark.parametrize(("wrong", "what"), [({"trials": -1}, "trials must"),
                                             ({"steps": 0}, "steps must"),
                                             ({"sigma": -1}, "sigma must")])
def test_a_search_that_cannot_be_is_one_line_and_no_empty_table(splits, settings, tmp_path, wrong,
                                                                what):
    study = search.open_study("s", tmp_path / "a.db", settings)
    with pytest.raises(UserError, match=what):
        search.run(study, splits, settings, **{"trials": 1, "steps": 4, "sigma": 1.0, **wrong})
