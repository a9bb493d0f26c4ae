"""Write the numbers of the pages from the files of results, so that none of them is typed.

    python -m scripts.docs results/summary.csv     keep these results, write pages and figures
    python -m scripts.docs                         write again from the kept ones
    python -m scripts.docs --check                 exit status 1 if pages and results differ

All files are gathered into `benchmarks/measured.csv` and `benchmarks/learning_curves.csv`, which
notebook 10 reads. Between marks such as `<!-- noise -->` and `<!-- /noise -->` stands what a
function of `PAGES` makes of the files in `benchmarks/`; the figures go to `images/`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.common.names import METHODS
from helpers.report import claims, collect, plots, tables
from helpers.report.results import RUN, latest
from helpers.report.times import read_times
from scripts import trials
from scripts.measured import SEED, learning_curves, read_results

DIGITS = collect.KEPT / "digits-quick.csv"
RELEASED = {"BYOL": "imagenette-byol-slim-48px-40min-seed0",
            "noise-BYOL": "imagenette-noise-byol-slim-48px-15min-seed0"}
# the released encoders for larger ones: each goes on from the one before
FINE = "imagenette-byol-slim_fine-96px-13epochs-seed0"
DEEP = "imagenette-dino-slim_deep-96px-80epochs-seed0"
JOINED = "imagenette-dino-slim_joined-128px-75epochs-seed0"
ON_GPU = "imagenette-dino-resnet18-128px-161epochs-cuda-seed0"
NOISE_JOINED = "imagenette-noise-byol-slim_joined-128px-65epochs-seed0"
# README's lines, and its sentences
SMALL = ("BYOL", "raw pixels", "label spreading", "fine-tuned BYOL", "from scratch")
FINDINGS = ("Few labels", "Noise", "Photographs")


@cache
def results() -> pd.DataFrame:
    """Every kept result; trainings that differ in their seed alone are one row."""
    return read_results()


def small_table() -> str:
    """README's few labels: five methods, few labels and all of them."""
    few = tables.few_labels(claims.quick_digits(results()))
    return tables.by_labels(few[few.method.isin(SMALL)])


def worth() -> str:
    """What images without labels are worth, in one sentence."""
    few = tables.few_labels(claims.quick_digits(results()))
    one = few[(few.protocol == "linear probe") & (few.labels_per_class == "1")]
    learned, pixels = (f"{100 * one[one.method == method]['mean'].item():.0f} %"
                       for method in ("BYOL", "raw pixels"))
    return (f"With one label per class, a classifier of handwritten digits gets {learned} right "
            f"where it may use what was learned from images without labels, and {pixels} on the "
            "plain pixels.")


def sentences(*points: str) -> str:
    """What was found, of these points only if any are given."""
    text = claims.findings(results(), collect.published(), collect.noise_trainings())
    return "\n".join(line for line in text.splitlines()
                     if not points or line.startswith(tuple(f"- **{each}" for each in points)))


def photographs(under_noise: bool) -> str:
    """Encoders trained on Imagenette and baselines, on clean images or under noise."""
    rows = tables.photographs(results())[0]
    return noisy(rows) if under_noise else tables.encoders(rows)


def noisy(rows: pd.DataFrame) -> str:
    """Encoders and baselines by sigma; a method with several encoders says which."""
    several = rows.groupby("method").encoder.transform("nunique") > 1
    named = rows.assign(method=rows.method.where(~several, rows.method + ", " + rows.encoder))
    return tables.by_sigma(named[named.sigma.notna()])


def grown_card(*files: str, small: str = "BYOL") -> str:
    """Released encoders for larger photographs, beside all trainings of the small one of a method.
    """
    order = [*files, SEED.sub("", RELEASED[small])]
    merged = tables.photographs(results())[0]
    rows = merged[merged.file.isin(order)]
    return tables.encoders(rows.sort_values("file", key=lambda file: file.map(order.index),
                                            kind="stable"))


def card(method: str) -> str:
    """A released encoder, the mean of all trainings of its recipe, and the baselines."""
    alone = tables.photographs(read_results(merged=False))[0]
    merged = tables.photographs(results())[0]
    base = merged[merged.method.isin(tables.UNTRAINED)]
    own, others = alone[alone.file == RELEASED[method]], SEED.sub("", RELEASED[method])
    rows = pd.concat([own, merged[merged.file == others], base])
    few, noisy = tables.photographs(results())[1], alone[alone.file.isin(RELEASED.values())]
    second = tables.by_labels(few) if method == "BYOL" else tables.by_sigma(
        pd.concat([base, noisy]).dropna(subset="sigma"))
    return f"{tables.encoders(rows)}\n\n{second}"


def speed() -> str:
    """Pretraining, views, memory and the noise sweep."""
    found = collect.contents_in(collect.KEPT)
    steps, views, sweep, scale, features = (found[name] for name in (
        "throughput-cpu", "views-cpu", "robustness", "scale-cpu", "scale-extract-cpu"))
    few, many = scale["rows"][0], scale["rows"][-1]
    first, last = features["rows"][0], features["rows"][-1]
    naive = [row["ratio"]["naive"] for row in sweep["rows"]]
    return (f"{tables.benchmark(steps)}\n\n{tables.benchmark(views)}\n\n"
            "Neither speed nor memory depends on how many images there are: "
            f"{few['images_per_second']:.0f} images/s and {few['memory_mib']:,.0f} MiB with "
            f"{few['images']:,} images in a memory-mapped block, {many['images_per_second']:.0f} "
            f"images/s and {many['memory_mib']:,.0f} MiB with {many['images']:,} "
            f"(`{scale['command']}`). Features by *slim* of images of 96 pixels, on "
            f"{features['machine']['chip']}: {first['images_per_second']:.0f} images/s and "
            f"{first['memory_mib']:,.0f} MiB with {first['images']:,}, "
            f"{last['images_per_second']:.0f} images/s and {last['memory_mib']:,.0f} MiB with "
            f"{last['images']:,} (`{features['command']}`).\n\nA noise sweep over "
            f"{sweep['rows'][0]['sigmas']} sigmas takes {min(naive):.1f} to "
            f"{max(naive):.1f} times less CPU time than a naive loop "
            f"(`python -m benchmarks.robustness --seeds {sweep['rows'][0]['seeds']}`).")


def gpu() -> str:
    """Side by side, and with recorded passes, on a GPU."""
    record = collect.contents_in(collect.KEPT)["gpu-h200"]
    stages: dict[str, dict[str, Any]] = {}
    for row in record["rows"]:
        stages.setdefault(row["stage"], {})[row["what"]] = row["value"]
    beside, recorded = stages["side by side"], stages["graphs"]
    lines = []
    for method in ("byol", "dino"):
        for contender, ratios in beside.items():
            if contender.startswith(f"{method}, ours to "):
                other = contender.removeprefix(f"{method}, ours to ")
                rates = [beside[f"{method}, {other}, round {turn + 1}, images/s"]
                         for turn in range(len(ratios))]
                lines.append({"method": METHODS[method], "beside": other,
                              "its images/s": ", ".join(f"{rate:,.0f}" for rate in rates),
                              "ours is, in each round": ", ".join(f"{r:.2f}" for r in ratios)})
    steps = [{"step of": name, "plain, ms": f"{found['plain_ms']:.1f}",
              "recorded, ms": f"{found['recorded_ms']:.1f}", "times": f"{found['times']:.1f}",
              "losses differ by": f"{found['loss_differs_by']:g}"}
             for name, found in recorded.items() if "times" in found]
    return (f"{record['machine']['chip']}, {record['machine']['precision']}, with recorded passes:"
            f"\n\n{tables.markdown(pd.DataFrame(lines))}\n\n"
            f"What recording them gains, on the same machine:\n\n"
            f"{tables.markdown(pd.DataFrame(steps))}")


def preset_gpu() -> str:
    """What notebooks with the preset gpu measured on photographs, in percent."""
    rows = pd.read_csv(collect.KEPT / "gpu-preset.csv")
    rows = rows[rows.metric.isin(["test accuracy", "validation accuracy"])
                & rows.notebook.str[:2].isin(["01", "02", "05", "08"])]
    return tables.markdown(pd.DataFrame({
        "notebook": rows.notebook.str[:2], "method": rows.method, "protocol": rows.protocol,
        "labels per class": rows.labels_per_class, "of": rows.metric.str.split().str[0],
        "accuracy": (100 * rows.value).map("{:.1f} %".format)}))


def selection(name: str) -> str:
    """Which images to label: strategies down, labels per class across, test accuracy."""
    rows = pd.read_csv(collect.KEPT / f"selection-{name}.csv")
    groups = rows.groupby(["strategy", "labels_per_class"], sort=False).test
    texts = groups.mean().mul(100).map("{:.1f}".format) + " ± " \
        + groups.std().mul(100).map("{:.1f}".format)
    wide = texts.unstack().reindex(rows.strategy.unique()).rename_axis("labels per class")
    return tables.markdown(wide.rename(columns=str).reset_index())


def times() -> str:
    """Seconds of each notebook, a column a machine."""
    rows = read_times()
    frame = pd.DataFrame(rows).assign(
        where=[f"{row.machine_in_words}, {row.dataset}, {row.preset}" for row in rows])
    wide = frame.pivot_table(index="notebook", columns="where", values="seconds", sort=False)
    wide.loc["all"] = wide.sum(min_count=len(wide))
    return tables.markdown(wide.round().reset_index())


PAGES: dict[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "README.md": {"worth": worth, "few-labels": small_table,
                         "findings": lambda: sentences(*FINDINGS)},
    ROOT / "docs" / "results.md": {
        "findings": sentences,
        "few-labels": lambda: tables.by_labels(tables.few_labels(claims.quick_digits(results()))),
        "differences": lambda: claims.differences(results(), collect.noise_trainings()),
        "noise": lambda: tables.by_sigma(tables.under_noise(claims.quick_digits(results()))),
        "photographs": lambda: photographs(under_noise=False),
        "photographs-noise": lambda: photographs(under_noise=True),
        "photographs-labels": lambda: tables.by_labels(tables.photographs(results())[1]),
        "preset-gpu": preset_gpu,
        "selection-digits": lambda: selection("digits"),
        "selection-photographs": lambda: selection("imagenette"),
        "small-set": lambda: trials.small_set(pd.read_csv(collect.KEPT / "small-set.csv")),
        "race": lambda: trials.race(pd.read_csv(collect.KEPT / "imagenette-side-by-side.csv")),
        "search": lambda: trials.search(pd.read_csv(collect.KEPT / "imagenette-search.csv")),
        "whitened": lambda: trials.whitened(pd.concat(
            map(pd.read_csv, sorted(collect.KEPT.glob("whitened-*.csv"))))),
        "published": lambda: tables.literature(collect.published())},
    ROOT / "docs" / "speed.md": {"speed": speed, "gpu": gpu, "times": times},
    ROOT / "weights" / "byol-slim-imagenette.md": {"numbers": lambda: card("BYOL")},
    ROOT / "weights" / "byol-fine-imagenette.md": {"numbers": lambda: grown_card(FINE)},
    ROOT / "weights" / "dino-deep-imagenette.md": {"numbers": lambda: grown_card(DEEP, FINE)},
    ROOT / "weights" / "dino-joined-imagenette.md": {
        "numbers": lambda: grown_card(JOINED, DEEP, FINE)},
    ROOT / "weights" / "dino-resnet18-imagenette.md": {
        "numbers": lambda: grown_card(ON_GPU, JOINED, DEEP)},
    ROOT / "weights" / "noise-byol-joined-imagenette.md": {
        "numbers": lambda: grown_card(NOISE_JOINED, JOINED, small="noise-BYOL"),
        "noise": lambda: photographs(under_noise=True)},
    ROOT / "weights" / "noise-byol-slim-imagenette.md": {"numbers": lambda: card("noise-BYOL")}}
TABLES: dict[Path, Callable[[], pd.DataFrame]] = {collect.MEASURED: results,
                                                  collect.CURVES: learning_curves}


def written(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """A page's text with what stands between its marks made anew.

    Raises:
        UserError: a pair of marks is missing.
    """
    for name, make in blocks.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(block.findall(text)) != 1:
            raise UserError(
                f"the page needs <!-- {name} --> and <!-- /{name} --> on lines of their own, once")
        made = f"{make().rstrip()}\n"
        text = block.sub(lambda found, made=made: f"{found[1]}{made}{found[2]}", text)
    return text


def differing() -> dict[Path, str]:
    """The pages and tables that do not say what the files say, with what they should say."""
    texts = {path: path.read_text(encoding="utf-8") if path.exists() else ""
             for path in (*PAGES, *TABLES)}
    wanted = {path: written(text, PAGES[path]) if path in PAGES else _as_csv(TABLES[path]())
              for path, text in texts.items()}
    return {path: text for path, text in wanted.items() if text != texts[path]}


def _as_csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.10g")


def take(source: Path) -> None:
    """Keep the digits of a run of the notebooks, as `helpers.report.record` wrote them.

    Raises:
        UserError: there is no such file.
    """
    if not source.exists():
        raise UserError(f"{source} is not there: run the notebooks first (make run)")
    rows = pd.read_csv(source, dtype=str, keep_default_na=False)
    told = rows.columns.intersection(RUN)
    frame = claims.quick_digits(latest(rows) if len(told) else rows).drop(columns=told)
    write_atomically(DIGITS, frame.to_csv(index=False, lineterminator="\n"))
    results.cache_clear()


def write() -> None:
    """Bring tables, pages and figures in line with the kept results."""
    for page, text in differing().items():
        write_atomically(page, text)
    figures(ROOT / "images")


def figures(folder: Path) -> None:
    """Draw `few_labels.png` and `noise.png`."""
    few = tables.few_labels(claims.quick_digits(results()))
    _save(plots.label_curve(tables.label_rows(few), 110, "Handwritten digits, few labels",
                            over="label subsets"), folder / "few_labels.png")
    bars = []
    for name in collect.noise_trainings():
        own = claims.heavy_noise(collect.noise_trainings(), name)[1]
        bars.append(dict(method=name, mean=own.mean(), std=own.std(ddof=1), n=len(own)))
    title = f"Handwritten digits under noise of sigma {claims.HEAVY}"
    _save(plots.bars(bars, title, over="trainings, each with its own split"), folder / "noise.png")


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    try:
        if arguments and arguments != ["--check"]:
            take(Path(arguments[0]))
        if arguments != ["--check"]:
            write()
            return 0
        names = ", ".join(page.name for page in differing())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{names}: not what the files say, run python -m scripts.docs" if names else
          "pages and results agree")
    return int(bool(names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
