"""What each notebook will do and cost, before it runs: `python -m helpers doctor --plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from helpers.cli.cost import GIB, MACHINES, Machine
from helpers.cli.work import DATA, WORK, Work
from helpers.common.environment import GPU_DATASET, ROOT
from helpers.common.machine import cores
from helpers.report.times import in_words, nearest, read_times
from helpers.settings import Settings

CUDA = 0.6 * GIB  # bytes that a process takes before it computes anything
DECODED = 800  # photographs a second, by two cores
# Seconds on two CPU cores of all that is neither training nor, in 07, features: imports,
# classifiers on features, maps, figures. Measured with digits, and with Imagenette at 48 pixels (in
# 01 to 04 and 06 whole, in 08 part by part; the other photographs' are guesses from those).
REST = {
    "01": (10, 30), "02": (13, 17), "03": (33, 156), "04": (15, 30), "05": (26, 40),
    "06": (40, 30), "07": (44, 120), "08": (43, 180), "09": (20, 120), "10": (7, 12),
    "11": (14, 20), "12": (20, 60),
}


@dataclass(frozen=True)
class Plan:
    """What one notebook will do, how long it takes and where that number comes from."""

    number: str
    settings: Settings
    work: Work
    seconds: float
    source: str
    memory: float  # bytes on the device

    def __str__(self) -> str:
        chosen, work = self.settings, self.work
        count = sum(each.times for each in work.trainings)
        steps = sum(each.times * each.steps for each in work.trainings)
        download = work.download + (work.data.download if self.number != "10" else 0)
        parts = [f"Plan of notebook {self.number}: dataset {Path(chosen.dataset).name} at "
                 f"{chosen.image_size} pixels, preset {chosen.preset}, encoder {chosen.encoder}"
                 + "".join(f", released {name}" for name in work.taken)]
        parts.append(f"trainings {count}, {steps:,} steps in all" if count else "no training")
        parts.append(f"downloads {download:,.0f} MB" if download else "downloads nothing")
        if work.data.disk:
            parts.append(f"{work.data.disk:.1f} GB of disk")
        if chosen.device != "cpu":
            parts.append(f"{self.memory / GIB:.1f} GiB of GPU memory")
        return "; ".join([*parts, f"about {in_words(self.seconds)} ({self.source})"])


def plan(number: str, settings: Settings, machine: Machine | None = None,
         root: Path = ROOT) -> Plan:
    """The plan of one notebook, "01" to "12", run alone with these settings.

    Args:
        machine: that it runs on; None is this one, for which measured times count.
    """
    work = Work(settings)
    WORK[number](work)
    on = machine or MACHINES["cpu" if settings.device == "cpu" else "t4"]
    memory = CUDA + max((each.memory(on) for each in work.trainings), default=0)
    if machine is None:
        place = settings.device, settings.preset, Path(settings.dataset).name, cores()
        for row in nearest(read_times(root), *place):
            if row.notebook.startswith(number):
                source = f"measured on {row.machine_in_words}"
                return Plan(number, settings, work, row.seconds, source, memory)
    source = f"estimated for {on.title}, see helpers/cli/cost.py"
    return Plan(number, settings, work, _seconds(number, work, on), source, memory)


def _seconds(number: str, work: Work, on: Machine) -> float:
    """Seconds of a notebook's work on a machine."""
    data = work.data
    drawings, photographs = REST[number]
    rest = on.start + on.slower * (drawings if work.channels == 1 else photographs)
    if number != "10" and work.channels == 3:
        rest += (data.unlabeled + data.test) / DECODED + data.download / data.speed
    rest += work.download / DATA[GPU_DATASET].speed
    return rest + sum(each.seconds(on) for each in (*work.trainings, *work.loops))


def settings_of(device: str | None, **choices: str | None) -> Settings:
    """The settings of a machine: this one's, or what "auto" comes to on a T4."""
    if device != "t4":
        return Settings.resolve(device=device, **choices)
    asked = {name: value for name, value in choices.items() if value}
    usual = dict(dataset=GPU_DATASET, preset="gpu", device="cpu")  # none has to be here
    return Settings.resolve(**usual | asked).replace(device="cuda")


def report(device: str | None = None, **choices: str | None) -> str:
    """The plans of all notebooks, a line each, and how long they take together."""
    chosen, on = settings_of(device, **choices), MACHINES.get(device)
    plans = [plan(number, chosen, on) for number in WORK]
    total = in_words(sum(each.seconds for each in plans))
    return "\n".join([*map(str, plans), f"All {len(plans)}, each alone: about {total}."])
