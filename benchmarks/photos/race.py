"""Ours and the peer on the same core for the same CPU minutes, taking turns."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pandas as pd

from benchmarks.photos.clock import OVER
from benchmarks.photos.data import as_csv
from benchmarks.photos.runs import PEER, PICTURES
from helpers import plots
from helpers.errors import UserError
from helpers.files import atomic_path, write_atomically

CONTENDERS = {"BYOL": ("byol", "slim"), "DINO": ("dino", "slim"), "lightly's BYOL, our encoder": (PEER, "slim"),
              "lightly's BYOL, its ResNet18": (PEER, "resnet18")}
NAME = "imagenette-side-by-side"


def take_turns(commands: list[list[str]]) -> None:
    """Run all commands at once, of which one works at a time: each waits for a line, and says when its turn is over.

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
                        raise UserError("a contender has failed, see above: start the same line again to go on")
    finally:
        for process in running:
            process.terminate()


def gathered(results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the runs have left: a row for each contender, budget and seed, and one for each look at them; of budgets
    that two contenders had."""
    table, curves = [], []
    for path in sorted(results.glob("imagenette-*.json")):
        record = json.loads(path.read_text())
        settings = record["settings"]
        kind = (settings.get("method"), settings.get("encoder"))
        if kind not in CONTENDERS.values() or not settings.get("minutes"):
            continue
        name = next(name for name, value in CONTENDERS.items() if value == kind)
        who, cost = dict(contender=name, budget=settings["minutes"], seed=settings["seed"]), record["cost"]
        scores = {f"{r['protocol']}, {r['labels_per_class']} labels a class": r["mean"] for r in record["results"]
                  if r["protocol"].startswith("kNN")}
        table.append(dict(who, cpu_minutes=cost["cpu_seconds"] / 60, wall_minutes=cost["seconds"] / 60,
                          epochs=cost["epochs"], chip=record["machine"]["chip"], **scores))
        curves += [dict(who, cpu_minutes=look["cpu_seconds"] / 60, wall_minutes=look["seconds"] / 60,
                        knn_validation=look["knn"]) for look in record["curve"]]
    table, curves = pd.DataFrame(table), pd.DataFrame(curves)
    rivals = table.groupby("budget").contender.nunique()
    shared = rivals.index[rivals > 1]  # a training without a rival is no race
    return table[table.budget.isin(shared)], curves[curves.budget.isin(shared)]


def summarise(results: Path) -> pd.DataFrame:
    """Write the table, the curves and the figure of all runs that have ended."""
    table, curves = gathered(results)
    write_atomically(results / f"{NAME}.csv", as_csv(table))
    write_atomically(results / f"{NAME}-curves.csv", as_csv(curves))
    budget = shown_budget(table)
    lines = {}
    for name in CONTENDERS:
        of = curves[(curves.contender == name) & (curves.budget == budget)]
        if len(of):
            looks = of.assign(look=of.groupby("seed").cumcount()).groupby("look").mean(numeric_only=True)
            lines[f"{name} (n = {of.seed.nunique()})"] = (looks.cpu_minutes, looks.knn_validation)
    figure = plots.curves(lines, "minutes of one CPU core", "kNN accuracy on validation (%)",
                          f"BYOL on Imagenette at 48 pixels, side by side for {budget:g} minutes each", percent=True,
                          note=f"n trainings, {PICTURES:,} neighbours; the first look is at random weights")
    with atomic_path(results / f"{NAME}.png") as target:
        figure.savefig(target, dpi=110)
    return table


def shown_budget(table: pd.DataFrame) -> float:
    """Of the budgets that most contenders share, the one with most trainings; the longest of equals."""
    of = table.groupby("budget").agg(contenders=("contender", "nunique"), trainings=("seed", "size")).reset_index()
    return of.sort_values(["contenders", "trainings", "budget"]).budget.iloc[-1]
