"""Tables of the trials on photographs say what each contender and each change brought."""

import pandas as pd

from scripts import trials


def test_a_search_says_what_each_change_adds_to_the_recipe_it_changes():
    knn = {
        "random encoder": (0.3, 0.3), "plain": (0.4, 0.42), "+ more": (0.45, 0.45),
        "instead: less": (0.35, 0.39)
    }
    frame = pd.DataFrame([
        dict(change=change, seed=seed, knn=value, steps=None if change == "random encoder" else 10,
             cpu_seconds=None if change == "random encoder" else 9)
        for change, values in knn.items()
        for seed, value in enumerate(values)
    ])
    lines = [[cell.strip()
              for cell in line.split("|")[1:-1]]
             for line in trials.search(frame).splitlines()[2:]]
    assert [line[2] for line in lines] == ["", "", "+4.0 ± 1.4", "-8.0 ± 2.8"]
    assert lines[1][1] == "41.0 ± 1.4" and [line[4] for line in lines] == ["", "9 s", "9 s", "9 s"]


def test_a_race_has_a_line_for_each_budget_machine_and_contender():
    frame = pd.DataFrame([
        dict(contender="BYOL", budget=3.0, chip="A", pixels=48, seed=seed, epochs=9.0,
             **{"kNN, k = 20, all labels per class": value})
        for seed, value in enumerate((0.4, 0.44))
    ])
    assert trials.race(
        frame).splitlines()[-1] == "| 3 min, A, 48 px | BYOL | 9.0 | 42.0 ± 2.8 | 2 |"


def test_whitened_features_have_a_column_for_each_power_and_a_line_for_each_protocol():
    rows = [dict(weights="own", power=power, protocol="linear probe", labels_per_class=1,
                 mean=0.5 - power / 10, std=std) for power, std in ((0.0, 0.01), (0.25, None))]
    lines = trials.whitened(pd.DataFrame(rows)).splitlines()
    assert lines[0] == "| weights | protocol | labels per class | power 0 | power 0.25 |"
    assert lines[2:] == ["| own | linear probe | 1 | 50.0 ± 1.0 | 47.5 |"]


def test_a_small_set_tells_the_lead_over_the_vit():
    rows = [("CNN", 0.6), ("CNN", 0.64), ("ViT, small", 0.4), ("ViT, small", 0.44)]
    frame = pd.DataFrame([dict(network=name, weights=1.2e6, test=test) for name, test in rows])
    lines = trials.small_set(frame).splitlines()
    assert lines[2:4] == ["| CNN | 1.2 | 62.0 ± 2.8 | 2 |", "| ViT, small | 1.2 | 42.0 ± 2.8 | 2 |"]
    assert lines[-1] == "Against the ViT, in points: CNN +20.0."
