"""Closing words: the numbers are those given, the best is named, and what lost is said as well."""

import numpy as np
import pandas as pd
import torch

from helpers.report import closing, stats


def scores(**values):
    """(method, 1) and (method, 0) -> accuracies; underscores stand for spaces."""
    return {(name.replace("_", " "), count): found
            for name, (few, every) in values.items() for count, found in ((1, few), (0, every))}


def test_fine_tuning_gives_each_difference_and_says_where_it_lost():
    found = scores(tuned=([0.8, 0.9, 0.85], [0.95, 0.96, 0.95]),
                   from_scratch=([0.6, 0.65, 0.7], [0.96, 0.98, 0.97]))
    text = closing.fine_tuning(found, "tuned", 150, 42.0)
    few = stats.paired(found["tuned", 1], found["from scratch", 1])
    assert f"- **1** label per class: 85.0% ± 5.0% against 65.0% ± 5.0% from scratch, " \
           f"{few.in_points}, ahead in 3 of 3" in text
    assert "The mean from scratch is higher with **all** labels." in text and "42 s" in text


def test_fine_tuning_is_silent_on_a_pretraining_of_unknown_length():
    found = scores(tuned=([0.8], [0.9]), from_scratch=([0.6], [0.7]))
    text = closing.fine_tuning(found, "tuned", 150, float("nan"))
    assert "nan" not in text and "pretraining had taken" not in text and "higher" not in text


def test_frozen_features_are_set_against_each_baseline_and_what_lost_is_named():
    found = scores(BYOL=([0.8, 0.9], [0.95]), random_encoder=([0.4, 0.5], [0.8]),
                   raw_pixels=([0.6, 0.5], [0.96]), label_spreading=([0.85, 0.88], [0.9]))
    text = closing.frozen_features(found,
                                   {"BYOL, kNN": 0.97, "PCA, kNN": 0.9, "raw pixels, MLP": 0.97},
                                   "BYOL")
    spread = stats.paired(found["BYOL", 1], found["label spreading", 1])
    assert f"label spreading -1.5 ({spread.interval})" in text and "raw pixels +30.0 (" in text
    assert "raw pixels -1.0; label spreading +5.0" in text  # one subset has no interval
    assert "by the mean: label spreading with **1** label per class; " \
           "raw pixels with **all** labels" in text
    assert "the highest is *BYOL, kNN* and *raw pixels, MLP* (97.0%)" in text


def test_the_best_and_the_last_way_are_named_at_each_number_of_labels():
    board = pd.DataFrame({"1": [0.8, 0.6], "all": [0.95, 0.97]},
                         index=["fine-tuned BYOL, 150 steps", "from scratch, 150 steps"])
    text = closing.when_pretraining_helps(board, "BYOL")
    assert "best *fine-tuned BYOL, 150 steps* (80.0%), last *from scratch, 150 steps* (60.0%)" \
        in text and "without 60.0%: +20.0 points" in text
    assert "**all** labels: best *from scratch, 150 steps* (97.0%)" in text and "-2.0" in text


def test_the_label_curve_names_who_is_first_and_what_each_start_adds():
    probes = scores(DINO=([0.7], [0.9]), BYOL=([0.8], [0.95]), raw_pixels=([0.5], [0.79]),
                    random_encoder=([0.4], [0.7]), label_spreading=([0.78], [0.97]))
    trained = {("fine-tuned BYOL", 1): [0.75, 0.77], ("fine-tuned BYOL", 0): [0.8],
               ("from scratch, slim", 1): [0.6, 0.64], ("from scratch, slim", 0): [0.95]}
    text = closing.label_efficiency(probes, trained, {})
    assert "pixels reaches 79.0% with **all** labels; with **all** labels: DINO 90.0%" in text
    assert "by labels per class: BYOL with 1; label spreading with all." in text
    assert "- BYOL: +2.0 with **1** label per class; -2.0 with **all** labels" in text
    gain = stats.paired(trained["fine-tuned BYOL", 1], trained["from scratch, slim", 1])
    assert f"fine-tuned BYOL over from scratch, slim: +14.0 ({gain.interval})" in text
    assert "-15.0 with **all** labels" in text and "the classes of the task" not in text
    pretext = {("DINO: same classes", 1): [0.7], ("DINO: other classes", 1): [0.72]}
    assert "by -2.0 points" in closing.label_efficiency(probes, trained, pretext)


def test_a_baseline_is_set_against_the_better_classifier_of_pixels():
    labels = torch.zeros(100, dtype=torch.long)
    predictions = {name: (torch.arange(100) < wrong).long()
                   for name, wrong in (("MLP", 4), ("linear", 3), ("raw pixels, linear", 5),
                                       ("raw pixels, SVM", 1))}
    text = closing.heads_against_pixels(predictions, labels, "linear", 900).replace("\n", " ")
    assert "MLP reaches **96.0%**" in text and "linear **97.0%**: -1.0 points" in text
    assert "**95.0%** (raw pixels, linear) and **99.0%** (raw pixels, SVM)" in text
    assert "*raw pixels, SVM*, linear is at -2.0 points" in text


def test_a_pretraining_is_told_with_its_collapsed_sibling():
    rows = [dict(step=step, knn=knn, feature_std=0.6, rank=40.0, dimensions=96,
                 projection_std=std, projection_rank=20.0)
            for step, knn, std in ((0, 0.8, 0.01), (99, 0.98, 0.9))]
    broken = [rows[0], dict(rows[1], projection_std=0.03, knn=0.9)]
    text = closing.learned_or_collapsed([0.0] * 20 + [-0.9] * 20, rows, "random encoder", 100,
                               ([-1.0] * 20, broken)).replace("\n", " ")
    assert "from 0.00 to -0.90" in text and "**80.0%** (random encoder) to **98.0%**" in text
    assert "the lowest standard deviation was 0.60, of the features" in text
    assert "loss of -1.000" in text
    assert "projections at 0.030 and the neighbour vote at 90.0%" in text
    ruined = closing.learned_or_collapsed([-1.0] * 20, broken, "random encoder", 9,
                                          ([-1.0] * 20, broken))
    assert "**The representation collapsed**: the standard deviation of the projections" in ruined


def test_what_a_teacher_without_a_trick_ends_as_is_told_by_its_entropies():
    ends = {"both": (5.5, 1.2), "no centre": (0.1, 0.0), "not sharp": (6.23, 6.22)}
    runs = {name: ([dict(mean=mean, single=single)], 0.9) for name, (mean, single) in ends.items()}
    lines = closing.centring_and_sharpening(0.81, runs, 6.24).splitlines()
    both, centre, sharp = (line for line in lines if line.startswith("- "))
    assert "mean output is spread over 244.7 of 513 classes, a single one over 3.3" in both
    assert "more pointed" in both and "few classes get everything" in centre
    assert "every output is uniform" in sharp


def noise_trainings(count):
    sigmas = np.array([0.0, 1.0, 1.6, 2.0])
    curves = {"supervised": [0.99, 0.25, 0.2, 0.1], "noise-BYOL": [0.95, 0.9, 0.8, 0.6],
              "noise-BYOL, sigma 0.5": [0.96, 0.7, 0.4, 0.2], "BYOL": [0.97, 0.5, 0.3, 0.1],
              "supervised + noise": [0.98, 0.95, 0.9, 0.8], "raw pixels": [0.9, 0.85, 0.82, 0.7]}
    found = {name: (sigmas, np.array([values] * count)) for name, values in curves.items()}
    found["noise-BYOL"][1][1:] += 0.02
    return found


def test_noise_is_told_at_the_sigma_that_breaks_the_supervised_classifier():
    errors = {"supervised": {"fog": np.full(5, 0.3)}, "raw pixels": {"fog": np.full(5, 0.2)}}
    two = noise_trainings(2)
    text = closing.under_noise(two, errors, "BYOL").replace("\n", " ")
    assert "At **sigma 1**" in text and "The highest there is *supervised + noise*" in text
    assert "On average over 2 trainings" in text
    assert "At sigma 1.6 noise-BYOL reaches 81.0% and raw pixels 82.0%" in text
    gap = stats.paired(two["noise-BYOL"][1][:, 2], two["raw pixels"][1][:, 2])
    assert gap.in_points in text and "Below raw pixels are supervised." in text
    once = closing.under_noise(noise_trainings(1), errors, "BYOL").replace("\n", " ")
    assert "In one training" in once and "one training, so no interval" in once


def test_injected_faults_are_spoken_of_where_there_were_some():
    worth = {name: {"kNN, k = 20": value, "linear, SGD": value}
             for name, value in (("DINO", 0.9), ("raw pixels", 0.95), ("random encoder", 0.5))}
    precision = dict.fromkeys(worth, 0.5)
    protocols = ["kNN, k = 20", "linear, SGD"]
    refound = {"DINO": {"blurred": 0.9, "turned": 0.3},
               "raw pixels": {"blurred": 0.8, "turned": 0.4}}
    text = closing.own_images(worth, protocols, precision, {}, 0, refound)
    assert "No faults were injected" in text and "the highest here is **raw pixels**" in text
    assert "more copies than DINO in 1 of 2 kinds (turned)." in text
    found = {f"{kind}, {name}": {"recall": recall, "average_precision": 0.8}
             for kind, name, recall in (
                 ("outliers", "DINO", 0.75), ("outliers", "raw pixels", 0.5),
                 ("flipped labels", "DINO", 0.7), ("flipped labels", "raw pixels", 0.95))}
    text = closing.own_images(worth, protocols, precision, found, 20, refound)
    assert "Of 20 injected outliers, 75.0% are among the 20 most suspicious by DINO" in text
    assert "95.0% by pixels. **Pixels do better here.**" in text and text.count("better here") == 1


def test_noise_crosses_by_the_shares_that_were_measured():
    numbers = {"BYOL": dict(clean=0.9, noisy=0.3, crossing=0.4),
               "noise-BYOL": dict(clean=0.88, noisy=0.8, crossing=0.85)}
    noise = stats.paired([0.85, 0.86], [0.4, 0.42])
    text = closing.maps(numbers, "BYOL", noise, 0.8, 300)
    assert "**40.0%** (BYOL) and\n**85.0%** (noise-BYOL)" in text and noise.in_points in text


def test_what_overfitting_misses_is_listed_with_its_steps():
    steps = {"healthy": 40, "frozen block": 50, "shuffled labels": 60}
    held_out = {"healthy": 0.5, "frozen block": 0.55, "shuffled labels": 0.1}
    text = closing.missed_by_overfitting(["frozen block", "shuffled labels"], steps, held_out)
    assert "misses 2 of the 2 faults: frozen block (50 steps), shuffled labels (60 steps)" in text
    assert "nonsense can be memorised" in text and "did frozen block." in text
    assert "misses none of the 2 faults, within 60" in closing.missed_by_overfitting(
        [], steps, held_out)


class Checked:
    """What an overfitted batch and a loss at the start say of themselves."""

    loss, expected, reached, steps = 2.31, 2.3, True, 40


def test_what_beats_the_vit_is_named():
    scores = {"ViT": 0.96, "slim CNN": 0.99, "raw pixels": 0.97, "MobileNetV3": 0.95}
    against = {name: stats.paired([0.96, 0.95], [score, score - 0.02])
               for name, score in scores.items() if name != "ViT"}
    text = closing.vit_from_scratch(86_567_656, 1e-6, Checked, Checked, scores, against, 400, 1097)
    assert "Better were slim CNN (99.0%), raw pixels (97.0%)." in text
    assert f"MobileNetV3 {against['MobileNetV3'].in_points}" in text
    only = {"raw pixels": against["raw pixels"]}
    alone = closing.vit_from_scratch(1, 1e-6, Checked, Checked, scores | {"raw pixels": 0.5}, only,
                                     400, 1097)
    assert "Nothing that stands beside it is better here." in alone


def test_the_check_up_counts_what_was_caught_and_what_was_not():
    caught = {"healthy": [], "frozen block": ["gradient everywhere"], "odd": []}
    held_out = {"healthy": 0.5, "frozen block": 0.55, "odd": 0.1}
    text = closing.check_up(caught, ["odd"], 3e-3, {"a": 0.01, "b": 0.03}, held_out)
    assert "**1 of 2** injected faults, with\n0 false alarms" in text
    assert "Nothing was alarmed by odd." in text and "the best of the broken ones\n55.0%" in text


def test_a_map_that_is_no_better_than_chance_is_named():
    covered = {"rollout": [0.9, 0.8], "gradient rollout": [0.9, 0.5], "random": [0.9, 0.75]}
    text = closing.attention({"rollout": 15.5, "gradient rollout": 6.0}, covered, [0, 4], 1, 16)
    assert "falls from\n90.0%" in text.replace("it\n", "it ") or "falls from 90.0%" in text
    assert "**gradient rollout**" in text and "No worse than at random: rollout." in text


def picked():
    """Accuracies of two strategies and the default over the same three repetitions."""
    return {("random", 1): [0.5, 0.6, 0.55], ("typical", 1): [0.8, 0.82, 0.84],
            ("auto", 1): [0.8, 0.82, 0.84], ("random", 50): [0.95, 0.96, 0.97],
            ("typical", 50): [0.93, 0.941, 0.952], ("auto", 50): [0.96, 0.95, 0.97]}


def test_the_images_to_label_are_by_budget_with_what_lost():
    text = closing.which_images(picked(), [], None)
    gain = stats.paired(picked()["typical", 1], picked()["random", 1])
    assert f"**1** label per class: *typical* comes first with 82.0% (+27.0 points, " \
           f"{gain.interval}), *random* last with 55.0%; auto 82.0%" in text
    assert "**50** labels per class: *random* comes first with 96.0%, *typical* last" in text
    assert "by the whole interval: *typical* with **50** labels per class." in text
    assert "cross-validation" not in text


def test_a_rehearsal_is_judged_by_the_test_images():
    last = dict(labels=100, strategy="typical", accuracy=0.97, low=0.915, high=0.99)
    text = closing.which_images(picked(), [last], 0.98)
    assert "100 labels cross-validation says 97.0% (91.5% to 99.0%)" in text and "98.0%" in text


def searched(lr, hidden):
    """Closing words of a search of three trials; the weights are share, lowest and highest."""
    rows = [dict(number=0, score=0.6, pruned=False, values={"lr": 0.001, "hidden": 256}),
            dict(number=1, score=0.7, pruned=False, values={"lr": 0.01, "hidden": 64}),
            dict(number=2, score=0.9, pruned=True, values={"lr": 0.02, "hidden": 64})]
    scores = {"the usual recipe": [0.5, 0.6, 0.55], "the search's winner": [0.6, 0.65, 0.7]}
    return closing.hyperparameter_search(rows, scores, {"lr": lr, "hidden": hidden}, 110, 1100)


def test_a_search_says_what_won_and_whether_that_held():
    text = searched((0.7, 0.5, 0.9), (0.3, 0.1, 0.4))
    assert "Of 3 trials, 1 were pruned" in text and "(lr 0.01, hidden 64)" in text
    assert "the usual recipe there: 60.0%" in text and "+10.0 points" in text
    assert "`lr` explains the most of the scores' variance whichever trial is left out" in text


def test_importances_that_one_trial_turns_round_are_no_order():
    text = searched((0.5, 0.2, 0.9), (0.4, 0.1, 0.6)).replace("\n", " ")
    assert "Which of `lr`, `hidden` matters most these trials cannot tell" in text
