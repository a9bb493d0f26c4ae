"""All notebooks, executed as a newcomer runs them: what they show and what they measure.

All of them run with the preset `smoke`, then those whose numbers are looked at with `quick`, after
a training of BYOL as notebook 02 has it.
"""

import re
from collections import Counter

import pytest
from running import (
    GATHERS,
    NOTEBOOKS,
    counted,
    counting,
    execute,
    executed,
    outputs,
    printed,
    prose,
    without_choices,
)

from helpers.cli.plan import plan
from helpers.data import load
from helpers.methods.presets import RATES, recipe_for
from helpers.report.results import summary
from helpers.settings import Settings, parse_label_counts
from helpers.training import pretrain
from scripts import executed as copies

pytestmark = pytest.mark.slow
# The fewest images each notebook has to draw.
FIGURES = {
    "01": 7, "02": 6, "03": 2, "04": 2, "05": 6, "06": 5, "07": 10, "08": 10, "09": 3, "10": 4,
    "11": 4, "12": 1, "13": 6, "14": 5, "15": 4
}
MEASURED = ("03", "04", "07")  # those whose numbers are looked at
COUNTS = "1 5 10"  # labels per class that numbers are looked at of
MACHINE = dict(dataset="digits", device="cpu")


@pytest.fixture(scope="module", autouse=True)
def nobody_chose():
    with pytest.MonkeyPatch.context() as patch:
        without_choices(patch)
        yield


@pytest.fixture(scope="module")
def quick(nobody_chose):
    return Settings.resolve(preset="quick", label_counts=COUNTS, **MACHINE)


def train_before(settings):
    """BYOL's encoder, and two steps of the second noise-BYOLs of 07, whose numbers nobody looks at.
    """
    splits = load(settings.dataset, image_size=settings.image_size, data_dir=settings.data_dir)
    pretrain(splits, settings, recipe_for("byol", settings, len(splits.unlabeled)))
    for encoder in ("slim", "vit_digits"):
        second = settings.replace(encoder=encoder, noise_sigma=0.5, noise_schedule="constant")
        recipe = recipe_for("noise-byol", second, len(splits.unlabeled))
        pretrain(splits, second, recipe.replace(steps=2))


@pytest.fixture(scope="module")
def whole_run(quick, tmp_path_factory):
    """The folder of both runs, and what the one of all notebooks printed."""
    out = tmp_path_factory.mktemp("whole")
    variables = counting(out)
    said = execute(out, "--preset", "smoke", **variables)
    train_before(quick.replace(run_dir=out / "runs"))
    execute(out, "--preset", "quick", "--only", *MEASURED, FEWLABELS_LABEL_COUNTS=COUNTS,
            FEWLABELS_NOISE_SEEDS="1", **variables)
    return out, said


@pytest.fixture(scope="module")
def rows(whole_run):
    return summary(whole_run[0] / "results")


@pytest.fixture(scope="module")
def numbers(rows):
    return rows[rows.preset == "quick"]


def trainings(numbers, chosen, made=()):
    """Which trainings the plan has for notebooks that run one after another, as `counted` has
    them; those that were `made` before are taken."""
    kinds = {"byol": "BYOL", "noise-byol": "BYOL", "dino": "DINO", "classifier": "Classifier"}
    planned, made = {}, set(made)
    for number in numbers:
        planned[number] = Counter()
        for each in plan(number, chosen).work.trainings:
            if each not in made:
                planned[number][kinds[each.method], each.encoder, each.steps,
                                each.batch] += each.times
            made |= {each} if each.kept else set()
    return planned


def test_the_plan_has_the_trainings_that_the_notebooks_make(whole_run, quick):
    smoke = Settings.resolve(preset="smoke", **MACHINE)
    planned = trainings(sorted(FIGURES), smoke)
    # from scratch and from BYOL, 09 reads what 04 has kept
    counts = set(parse_label_counts(smoke.network_counts)) & set(smoke.label_counts)
    shared = 2 * (len(RATES) + len(counts) * smoke.draws)
    (trained,) = (key for key in planned["09"] if key[0] == "Classifier")
    planned["09"][trained] -= shared
    kept = [each for each in plan("07", quick).work.trainings if each.kept]
    before = [each for each in kept if any(
        each.encoder == other.encoder and each.steps < other.steps for other in kept)]
    assert len(before) == 2  # `train_before` made them
    for number, made in trainings(MEASURED, quick, before).items():
        planned[number] += made
    assert {number: counted(whole_run[0], number) for number in planned} == planned


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_every_cell_ran_and_the_figures_are_there(whole_run, number):
    notebook = executed(whole_run[0], number)
    shown = outputs(notebook)
    assert not [output for output in shown if output.output_type == "error"]
    counts = [
        cell.execution_count
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]
    assert None not in counts and counts == sorted(counts)
    figures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(figures) >= FIGURES[number]


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_the_closing_paragraph_has_numbers(whole_run, number):
    markdown = prose(whole_run[0], number)
    assert markdown and len(re.findall(r"\d+\.\d", markdown[-1])) >= 3
    assert "nan" not in markdown[-1]


def test_the_run_ends_with_the_table(whole_run, rows):
    assert "noise-BYOL" in whole_run[1] and "test accuracy" in whole_run[1]
    assert set(rows[rows.preset == "smoke"].notebook.str[:2]) == set(FIGURES) - {GATHERS}


def mean(numbers, notebook, **where):
    """The recorded mean of the one row that fits."""
    rows = numbers[numbers.notebook.str.startswith(notebook)]
    for column, value in where.items():
        rows = rows[rows[column].astype(str) == str(value)]
    assert len(rows) == 1, rows
    return rows["mean"].item()


@pytest.mark.parametrize("number", MEASURED)
def test_what_is_measured_is_the_encoder_that_was_trained_here(whole_run, number):
    assert "byol: the encoder of an earlier run, " in printed(whole_run[0], number)


@pytest.mark.parametrize("labels,least", [(1, 0.80), (5, 0.94), (10, 0.96)])
def test_byol_features_are_worth_what_is_claimed(numbers, labels, least):
    probe = dict(protocol="linear probe", labels_per_class=labels, metric="test accuracy")
    byol = mean(numbers, "03", method="BYOL", **probe)
    assert byol >= least
    assert byol > max(
        mean(numbers, "03", method=name, **probe) for name in ("raw pixels", "random encoder"))


@pytest.mark.parametrize("labels", [1, 5])
def test_fine_tuning_beats_the_equally_treated_baseline(numbers, labels):
    fine, scratch = (mean(numbers, "04", method=name, labels_per_class=labels,
                          metric="test accuracy") for name in ("fine-tuned BYOL", "from scratch"))
    assert fine > scratch


def test_noise_byol_holds_where_the_clean_baseline_breaks(numbers):
    at = {name: mean(numbers, "07", method=name, sigma=1.6)
          for name in ("supervised", "noise-BYOL", "BYOL", "supervised + noise", "raw pixels")}
    assert at["supervised"] < 0.3
    assert at["noise-BYOL"] >= 0.68
    assert at["noise-BYOL"] > at["BYOL"]


@pytest.mark.parametrize("number", sorted(FIGURES))
def test_a_copy_for_the_repository_is_small_whole_and_without_widgets(whole_run, number):
    (source,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    copy = copies.clean(whole_run[0] / "results" / "notebooks" / f"{number}.ipynb")
    # This run has its own folders and gives its preset as a parameter: that alone may be found
    # fault with.
    assert not [
        line for line in copies.complaints(copy, source)
        if "not today's" not in line and "places" not in line
    ]
    assert len(prose(whole_run[0], number)[-1]) > 100


def test_the_pretrained_question_is_answered_without_a_person(whole_run):
    assert "random weights, encoder slim" in printed(whole_run[0], "02")
