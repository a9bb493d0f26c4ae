"""Ours and the peer on the same core or GPU for the same minutes, one after the other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.photos.clock import unit
from benchmarks.photos.data import as_csv
from benchmarks.photos.runs import IMAGES, PEER, minutes_of
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.report import plots

# Who races, by the kind of device: a CPU core has time for the miniature, and for a little of the
# peer's own network.
CONTENDERS = {
    "cpu": {
        "BYOL": ("byol", "slim"), "DINO": ("dino", "slim"),
        "lightly's BYOL, our encoder": (PEER, "slim"),
        "lightly's BYOL, its ResNet18": (PEER, "resnet18")
    }, "gpu": {
        "BYOL, ResNet18": ("byol", "resnet18"), "DINO, ResNet18": ("dino", "resnet18"),
        "lightly's BYOL, its ResNet18": (PEER, "resnet18")
    }
}
RACE = ["device", "chip", "pixels", "budget"]  # what runs must share to be compared
NAME = "imagenette-side-by-side"


def one_by_one(commands: list[list[str]]) -> None:
    """Run the commands one after the other. What another program takes from a core changes no
    budget: CPU minutes are counted.

    Raises:
        UserError: one of them has failed; those after it are not begun.
    """
    for command in commands:
        if subprocess.run(command).returncode:
            raise UserError(
                "a contender has failed, see above: start the same line again to go on")


def gathered(results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the runs have left: a row for each contender, budget and seed, and one for each look at
    them; of those budgets that two contenders had on images of one size on one kind of device."""
    table, curves = [], []
    names = {kind: name for each in CONTENDERS.values() for name, kind in each.items()}
    for path in sorted(results.glob("imagenette-*.json")):
        record = json.loads(path.read_text())
        settings = record["settings"]
        kind = (settings.get("method"), settings.get("encoder"))
        if not settings.get("minutes") or kind not in names:
            continue
        who = dict(contender=names[kind], device=record["machine"].get("device", "cpu"),
                   chip=record["machine"]["chip"], pixels=settings["size"],
                   budget=settings["minutes"], seed=settings["seed"])
        scores = {
            f"{r['protocol']}, {r['labels_per_class']} labels per class": r["mean"]
            for r in record["results"]
            if r["protocol"].startswith("kNN")
        }
        cost = record["cost"]
        table.append(
            dict(who, minutes=minutes_of(cost), wall_minutes=cost["seconds"] / 60,
                 epochs=cost["epochs"], **scores))
        curves += [
            dict(who, minutes=minutes_of(look), knn_validation=look["knn"])
            for look in record["curve"]
        ]
    table, curves = (pd.DataFrame(rows, columns=None if rows else [*RACE, "contender"])
                     for rows in (table, curves))
    rivals = table.groupby(RACE).contender.nunique()
    shared = list(rivals.index[rivals > 1])  # a training without a rival is no race
    return tuple(each[[tuple(row) in shared
                       for row in each[RACE].values]]
                 for each in (table, curves))


def summarise(results: Path) -> pd.DataFrame:
    """Write the table, the curves and the figure of all runs that have ended; nothing where none
    had a rival."""
    table, curves = gathered(results)
    if table.empty:
        return table
    write_atomically(results / f"{NAME}.csv", as_csv(table))
    write_atomically(results / f"{NAME}-curves.csv", as_csv(curves))
    race = shown_race(table)
    with atomic_path(results / f"{NAME}.png") as target:
        drawn(race, curves[[tuple(row) == race for row in curves[RACE].values]]).savefig(
            target, dpi=110)
    return table


def drawn(race: tuple[str, str, int, float], curves: pd.DataFrame) -> Figure:
    """The looks at all contenders of a race, each contender's averaged over its seeds."""
    device, _, pixels, budget = race
    lines = {}
    for name in CONTENDERS["cpu" if device == "cpu" else "gpu"]:
        own = curves[curves.contender == name]
        if len(own):
            numbered = own.assign(look=own.groupby("seed").cumcount())
            looks = numbered.groupby("look").mean(numeric_only=True)
            lines[f"{name} (n = {own.seed.nunique()})"] = (looks.minutes, looks.knn_validation)
    return plots.curves(
        lines, unit(device), "kNN accuracy on validation (%)",
        f"Imagenette at {pixels} pixels, side by side for {budget:g} minutes each", percent=True,
        note=f"n trainings, {IMAGES:,} neighbours; the first look is at random weights")


def shown_race(table: pd.DataFrame) -> tuple[str, str, int, float]:
    """Device, chip, pixels and budget of the longest race, in which all have seen most images; of
    equals the one with most contenders, and of these with most trainings."""
    of = table.groupby(RACE).agg(contenders=("contender", "nunique"),
                                 trainings=("seed", "size")).reset_index()
    return tuple(of.sort_values(["budget", "contenders", "trainings"])[RACE].iloc[-1])
