"""What each notebook will do and cost, before it runs: `python -m helpers doctor --plan`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from helpers.cli.cost import GIB, MACHINES, Machine
from helpers.cli.work import DATA, WORK, Work, data_of
from helpers.common.environment import GPU_DATASET, ROOT
from helpers.common.machine import cores
from helpers.common.markup import in_columns
from helpers.data.loading import name_or_path
from helpers.report.times import in_words, nearest, read_times
from helpers.settings import Settings
from helpers.training.best import best_encoder, fast_enough

CUDA = 0.6 * GIB  # bytes that a process takes before it computes anything
DECODED = 800  # photographs a second, by two cores
SMALL_VIT = 11e9  # operations of a ViT-S/14 on an image of 224 pixels (Oquab et al. 2023)
HEADER = ["", "encoder", "trainings", "steps", "download", "GPU memory", "time", "which is"]
# Seconds on two CPU cores of all that is neither training nor, in 07, features: imports,
# classifiers on features, maps, figures. With digits they were measured. With Imagenette at 48
# pixels 01 to 04 and 06 were measured whole, 07 to 09 are sums of parts (imports 8; a linear probe
# of 8,522 images 0.4 on the slim encoder's features, 2 to 21 on pixels, by its strength; an MLP 5
# and 9; 0.25 for each training to begin); 05 and 11 to 14 are guesses: the digits' and the images'.
REST = {
    "01": (10, 30), "02": (13, 17), "03": (33, 156), "04": (15, 30), "05": (14, 25),
    "06": (40, 30), "07": (44, 120), "08": (43, 180), "09": (20, 80), "10": (7, 12),
    "11": (14, 20), "12": (20, 60), "13": (18, 30), "14": (9, 15), "15": (14, 20),
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

    @property
    def steps(self) -> int:
        """Of all trainings together."""
        return sum(each.times * each.steps for each in self.work.trainings)

    @property
    def count(self) -> int:
        """Of trainings."""
        return sum(each.times for each in self.work.trainings)

    @property
    def megabytes(self) -> float:
        """To download."""
        return self.work.download + (self.work.data.download if self.number != "10" else 0)

    @property
    def encoder(self) -> str:
        """Whose weights are taken, in short; else the one that is trained."""
        taken = self.work.taken
        return f"{len(taken)} released" if len(taken) > 1 else "".join(taken)

    @property
    def row(self) -> list[str]:
        """The cells of the table, see `HEADER`."""
        on_gpu = self.settings.device != "cpu"
        return [self.number, self.encoder or self.settings.encoder,
                f"{self.count:,}" if self.count else "-", f"{self.steps:,}" if self.steps else "-",
                f"{self.megabytes:,.0f} MB" if self.megabytes else "-",
                f"{self.memory / GIB:.1f} GiB" if on_gpu else "-", in_words(self.seconds),
                self.source.split()[0]]

    def __str__(self) -> str:
        chosen, work = self.settings, self.work
        parts = [f"Plan of notebook {self.number}: dataset {Path(chosen.dataset).name} at "
                 f"{chosen.image_size} pixels, preset {chosen.preset}, encoder {chosen.encoder}"
                 + "".join(f", released {name}" for name in work.taken)]
        parts.append(f"trainings {self.count}, {self.steps:,} steps in all" if self.count
                     else "no training")
        parts.append(f"downloads {self.megabytes:,.0f} MB" if self.megabytes
                     else "downloads nothing")
        if work.data.disk:
            parts.append(f"{work.data.disk:.1f} GB of disk")
        if chosen.device != "cpu":
            parts.append(f"{self.memory / GIB:.1f} GiB of GPU memory")
        return "; ".join([*parts, f"about {in_words(self.seconds)} ({self.source})"])


def plan(number: str, settings: Settings, machine: Machine | None = None,
         root: Path = ROOT) -> Plan:
    """The plan of one notebook, such as "01", run alone with these settings.

    Args:
        machine: that it runs on; None is this one, for which measured times count.
    """
    work = Work(settings, lambda passes: _best(passes, settings.device, machine))
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


def _best(passes: int, device: str, machine: Machine | None) -> str:
    """The best listed encoder for so many images, as this machine says or another would."""
    if machine is None:
        return best_encoder(passes, device)[0]
    return next(iter(fast_enough(passes * SMALL_VIT / machine.single)), "")


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
    asked = {name: value for name, value in choices.items() if value}
    if asked.get("dataset", "auto") != "auto":
        asked["dataset"] = name_or_path(asked["dataset"])
    if device != "t4":
        return Settings.resolve(device=device, **asked)
    usual = dict(dataset=GPU_DATASET, preset="gpu", device="cpu")  # none has to be here
    return Settings.resolve(**usual | asked).replace(device="cuda")


def report(device: str | None = None, details: bool = False, **choices: str | None) -> str:
    """The plans of all notebooks, a row each (with `details` a line), and how long they take
    together."""
    chosen, on = settings_of(device, **choices), MACHINES.get(device)
    plans = [plan(number, chosen, on) for number in WORK]
    total = in_words(sum(each.seconds for each in plans))
    last = f"All {len(plans)}, each alone: about {total}."
    if details:
        return "\n".join([*map(str, plans), last])
    where = f" on {on.title}" if on else ""
    disk = plans[0].work.data.disk
    first = (f"{Path(chosen.dataset).name} at {chosen.image_size} pixels, preset {chosen.preset}"
             f"{where}{f'; {disk:.1f} GB of disk' if disk else ''}")
    return "\n".join([first, "", *in_columns([HEADER, *(each.row for each in plans)]), "", last,
                      "Where the numbers come from: --details."])


def of_notebooks(numbers: Iterable[str], settings: Settings) -> str:
    """A line before hours are spent: how long these notebooks take together and what they
    download."""
    plans = [plan(number, settings) for number in numbers if number in WORK]
    own = sum(each.work.download for each in plans)  # a dataset comes once for all
    return _line(sum(each.seconds for each in plans), own, settings)


def of_training(method: str, steps: int, settings: Settings) -> str:
    """The same for one training."""
    work, on = Work(settings), MACHINES["cpu" if settings.device == "cpu" else "t4"]
    work.pretraining(method, steps)
    return _line(work.trainings[0].seconds(on), 0, settings)


def _line(seconds: float, own: float, settings: Settings) -> str:
    megabytes = own + data_of(settings).download
    downloads = f"{megabytes:,.0f} MB" if megabytes else "nothing"
    return (f"The preset {settings.preset} takes about {in_words(seconds)} (see `python -m helpers "
            f"doctor --plan`) and downloads {downloads}, or less where some of it is here.")
