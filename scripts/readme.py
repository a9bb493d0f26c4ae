"""Write the README's numbers from the files of results, so that none of them is typed.

    python -m scripts.readme results/summary.csv     take these results: keep, draw and write them
    python -m scripts.readme                         write again from the kept ones
    python -m scripts.readme --check                 exit status 1 if README and results differ

Between marks such as `<!-- results -->` and `<!-- /results -->` stands what a function of `BLOCKS`
makes of the files in `benchmarks/`; the figures go to `images/`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.report import claims as lessons
from helpers.report import collect as gathering
from helpers.report import plots
from helpers.report import tables as reporting

README, CARDS = ROOT / "README.md", ROOT / "weights"
RESULTS = ROOT / "benchmarks" / "results"
KEPT = RESULTS / "digits-quick.csv"
SHORT = 8  # minutes of a training up to which it stands in the side-by-side comparison only
RELEASED = {"BYOL": "imagenette-byol-slim-48px-40min-seed0",
            "noise-BYOL": "imagenette-noise-byol-slim-48px-15min-seed0"}


def results() -> str:
    """The digits: few labels, noise, and the one comparison that needs several trainings."""
    duel = reporting.duel(gathering.noise_trainings(RESULTS))
    frame = load(KEPT)
    return f"{reporting.story(frame)}\n{duel}\n\nWhat it says:\n\n{lessons.lessons(frame)}\n"


def photographs() -> str:
    """Imagenette: our trainings, the trials before them, and what others report."""
    trained, few = _photographs()
    noise, found = trained[trained.sigma.notna()], gathering.published()
    race = pd.read_csv(RESULTS / "imagenette-side-by-side.csv")
    return (
        f"{_table_of_encoders(trained)}{_on_a_gpu()}"
        f"The same encoders under Gaussian noise, a linear classifier on clean features; "
        f"{_deviations(noise, 'draws of the noise', 'line')}; sigma in normalised units:\n\n"
        f"{reporting.grid(_counted(noise), 'sigma', 'sigma')}\n\n"
        "The released encoder with few labels: frozen, fine-tuned, and against training from "
        "scratch with as many "
        f"steps, ± over label draws (all: trainings; {reporting.counts(few)}):\n\n"
        f"{reporting.grid(few, 'labels_per_class', 'labels per class')}\n\n"
        "Ours and lightly's benchmark recipe on the same core or GPU for about the same minutes "
        "(± over "
        "trainings; on a CPU core lightly's ResNet18 has seen too few images by then to be "
        "judged):\n\n"
        f"{reporting.side_by_side(race)}\n\n{_trials()}"
        "Reported by others, with other budgets and larger images, so not to be compared line by "
        "line:\n\n"
        f"{reporting.literature(found[found.dataset == 'Imagenette'])}\n")


def card() -> str:
    """What the card of the released encoder for photographs says of its worth."""
    few = _photographs()[1]
    return f"{_beside_baselines('BYOL')}\n\n{reporting.grid(few, 'labels_per_class', 'labels per class')}\n"


def noise_card() -> str:
    """The same for the one that learned with noise."""
    rows = _photographs(merged=False)[0]
    noise = rows[rows.sigma.notna()
                 & (rows.file.isin(RELEASED.values()) | rows.method.isin(reporting.UNTRAINED))]
    return f"{_beside_baselines('noise-BYOL')}\n\n{reporting.grid(noise, 'sigma', 'sigma')}\n"


def _beside_baselines(method: str) -> str:
    """A released encoder, the mean of those that differ from it in their seed alone, and what
    costs no training."""
    alone, merged = (_photographs(merge)[0] for merge in (False, True))
    others = merged[merged.file == gathering.SEED.sub("", RELEASED[method])]
    parts = [
        alone[alone.file == RELEASED[method]], others,
        merged[merged.method.isin(reporting.UNTRAINED)]
    ]
    several = (
        f"; then the mean of {others.n.max():.0f} trainings that differ in their seed alone, this "
        "one among "
        "them, ± over trainings" if len(others) else "")
    rows = pd.concat(part[part.sigma.isna()] for part in parts)
    return ("The first column is this encoder, ± over label "
            f"draws{several}:\n\n{reporting.encoders(rows)}")


def _table_of_encoders(rows: pd.DataFrame) -> str:
    rows = rows[rows.sigma.isna()]
    return ("Test accuracy in %; "
            f"{_deviations(rows, 'label draws', 'column')}:\n\n{reporting.encoders(rows)}\n\n")


def _on_a_gpu() -> str:
    """The same table of what was trained on a GPU, if there is any."""
    rows = _photographs(gpu=True)[0]
    return f"On a GPU. {_table_of_encoders(rows)}" if len(rows) else ""


def _deviations(rows: pd.DataFrame, usual: str, where: str) -> str:
    """What the deviations of a table of encoders are over; `where` encoders with several trainings
    stand in it."""
    said = f"± over {usual} ({reporting.counts(rows[rows.over == usual])})"
    often = any(reporting.trained_often(own) for _, own in rows.groupby(["file", "method"]))
    return f"{said}, in a {where} of several trainings over these" if often else f"{said}, one training each"


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the number of trainings in the name of a method that was trained several times."""
    groups = rows.groupby(["file", "method"], sort=False)
    return pd.concat(
        own.assign(
            method=f"{name}, {own.n.max():.0f} trainings") if reporting.trained_often(own) else own
        for (_, name), own in groups)


def _photographs(merged: bool = True, gpu: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the encoders that a CPU (or a GPU) has trained and of the baselines, and those of
    the comparison with few labels."""
    frame = gathering.measured(RESULTS, merged)
    frame = frame[(frame.dataset == "imagenette") & (frame.file.str.contains("-cuda|-mps") == gpu)]
    compared = frame.file.str.endswith("-labels")
    return frame[~compared & ~(frame.minutes < SHORT)], frame[frame.file == "imagenette-labels"]


def _trials() -> str:
    """What the search for a recipe found, where its table is kept."""
    path = RESULTS / "imagenette-search.csv"
    if not path.exists():
        return ""
    trials = pd.read_csv(path)
    images, most = f"{int(trials.steps.max()) * 64:,}", trials[
        trials.steps.notna()].change.value_counts().max()
    caution = ("one training each (the command goes on to three), so a point or two may be chance"
               if most == 1 else "± over trainings")
    return (
        f"Which change of the recipe buys what, in short trainings of {images} images each "
        "(`python benchmarks/imagenette.py search imagenette160`); kNN accuracy on validation in "
        "%, "
        f"{caution}:\n\n{reporting.trials(trials)}\n\n")


def throughput() -> str:
    """Pretraining, views and the noise sweep against other ways to do them."""
    steps, scale, views, sweep = (json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
                                  for name in ("throughput-cpu", "scale-cpu", "views-cpu",
                                               "robustness"))
    machine, ratio = steps["machine"], {row["contender"]: row["ours_is"] for row in views["rows"]}
    naive = [row["ratio"]["naive"] for row in sweep["rows"]]
    few, many = scale["rows"][0], scale["rows"][-1]
    return (
        f"One run on {machine['cores']} CPU cores ({machine['chip']}, {machine['precision']}): "
        f"`{steps['command']}`.\n\n{reporting.speed(steps)}\n\n"
        "Neither speed nor memory depends on how many images there are: "
        f"{few['images_per_second']:.0f} images/s "
        f"and {few['memory_mib']:,.0f} MiB with {few['images']:,} in a memory-mapped block, "
        f"{many['images_per_second']:.0f} images/s and {many['memory_mib']:,.0f} MiB with "
        f"{many['images']:,} "
        f"(`{scale['command']}`). "
        f"The views alone, in one process ({views['machine']['chip']}), are {ratio['kornia']:.1f} "
        "times as fast as "
        f"kornia's and {ratio['lightly, PIL, one process']:.1f} times as fast as lightly's PIL "
        "transform "
        f"(`OMP_NUM_THREADS=1 {views['command']}`). A noise sweep over "
        f"{sweep['rows'][0]['sigmas']} sigmas takes "
        f"{min(naive):.1f} to {max(naive):.1f} times less CPU time than a naive loop "
        f"(`python -m benchmarks.robustness --seeds {sweep['rows'][0]['seeds']}`).\n")


BLOCKS: dict[str, Callable[[], str]] = {
    "results": results, "photographs": photographs, "throughput": throughput
}


def written(text: str, blocks: dict[str, Callable[[], str]] = BLOCKS) -> str:
    """A page's text with what stands between its marks made anew.

    Raises:
        UserError: a pair of marks is missing.
    """
    for name, make in blocks.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(block.findall(text)) != 1:
            raise UserError(
                f"the page needs <!-- {name} --> and <!-- /{name} --> on lines of their own, once")
        made = make()
        text = block.sub(lambda found, made=made: f"{found[1]}{made}{found[2]}", text)
    return text


PAGES = {README: BLOCKS, CARDS / "byol-slim-imagenette.md": {"numbers": card},
         CARDS / "noise-byol-slim-imagenette.md": {"numbers": noise_card}}


def figures(frame: pd.DataFrame, folder: Path) -> None:
    """Draw `few_labels.png` and `noise.png`."""
    few = reporting.few_labels(frame)
    few = few[~few.method.str.startswith("PCA")]
    rows = [dict(method=row.method + ", linear probe" * (row.protocol == "linear probe"),
                 labels_per_class=row.labels_per_class if row.labels_per_class == "all"
                 else int(row.labels_per_class), mean=row["mean"], std=row["std"], n=int(row.n))
            for _, row in few.iterrows()]
    _save(plots.label_curve(rows, 110, "Handwritten digits, few labels"),
          folder / "few_labels.png")
    bars = [dict(method=name, mean=own.mean(), std=own.std(ddof=1), n=len(own))
            for name, (sigmas, scores) in gathering.noise_trainings(RESULTS).items()
            for own in [scores[:, abs(sigmas - reporting.HEAVY).argmin()]]]
    title = f"Handwritten digits under noise of sigma {reporting.HEAVY}"
    figure = plots.bars(bars, title, over="trainings, each with its own split")
    _save(figure, folder / "noise.png")


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def load(path: Path) -> pd.DataFrame:
    """Results of the digits at quick scale, as `helpers.report.results.record` wrote them."""
    if not path.exists():
        raise UserError(f"{path} is not there: run the notebooks first (make run)")
    frame = pd.read_csv(path, dtype={"labels_per_class": str}, keep_default_na=True)
    return frame[(frame.dataset == "digits") & (frame.preset == "quick")]


def take(source: Path) -> None:
    """Keep the results of a run of the notebooks, and bring README and figures in line with
    them."""
    frame = load(source)
    with atomic_path(KEPT) as temporary:
        frame.to_csv(temporary, index=False)
    write()


def write() -> None:
    """Write README and figures from the kept results."""
    for page, blocks in PAGES.items():
        write_atomically(page, written(page.read_text(encoding="utf-8"), blocks))
    figures(load(KEPT), ROOT / "images")


def main(arguments: list[str]) -> int:
    """See the module's text."""
    if "--check" in arguments:
        wrong = [page.name for page, blocks in PAGES.items()
                 for text in [page.read_text(encoding="utf-8")] if written(text, blocks) != text]
        print(
            f"{', '.join(wrong)}: the results are not those of the files, run python -m "
            "scripts.readme"
            if wrong else "README and results agree")
        return int(bool(wrong))
    if arguments:
        take(Path(arguments[0]))
    else:
        write()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
