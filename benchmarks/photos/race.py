"""Ours and the peer on the same core or GPU for the same minutes, taking turns."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pandas as pd

from benchmarks.photos.clock import OVER, unit
from benchmarks.photos.data import as_csv
from benchmarks.photos.runs import IMAGES, PEER, minutes_of
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically

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


def take_turns(commands: list[list[str]]) -> None:
    """Run all commands at once, of which one works at a time: each waits for a line, and says when
    its turn is over.

    Raises:
        UserError: one of them has failed.
    """
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for command in commands]
    try:
        while running:
            for process in list(running):
                with suppress(BrokenPipeError):  # it has ended, which is noticed below
                    process.stdin.write("go\n")
                    process.stdin.flush()
                if not any(line.strip() == OVER for line in process.stdout):
                    running.remove(process)
                    if process.wait():
                        raise UserError(
                            "a contender has failed, see above: start the same line again to go on")
    finally:
        for process in running:
            process.terminate()


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
    shown = shown_race(table)
    device, _, pixels, budget = shown
    of_race, lines = curves[[tuple(row) == shown for row in curves[RACE].values]], {}
    for name in CONTENDERS["cpu" if device == "cpu" else "gpu"]:
        of = of_race[of_race.contender == name]
        if len(of):
            looks = of.assign(look=of.groupby("seed").cumcount()).groupby("look").mean(
                numeric_only=True)
            lines[f"{name} (n = {of.seed.nunique()})"] = (looks.minutes, looks.knn_validation)
    figure = lines.curves(
        lines, unit(device), "kNN accuracy on validation (%)",
        f"Imagenette at {pixels} pixels, side by side for {budget:g} minutes each", percent=True,
        note=f"n trainings, {IMAGES:,} neighbours; the first look is at random weights")
    with atomic_path(results / f"{NAME}.png") as target:
        figure.savefig(target, dpi=110)
    return table


def shown_race(table: pd.DataFrame) -> tuple[str, str, int, float]:
    """Device, chip, pixels and budget of the race that most contenders share; of equals the one
    with most trainings, and of these the longest."""
    of = table.groupby(RACE).agg(contenders=("contender", "nunique"),
                                 trainings=("seed", "size")).reset_index()
    return tuple(of.sort_values(["contenders", "trainings", "budget"])[RACE].iloc[-1])
