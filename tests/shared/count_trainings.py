"""Runs in a kernel before its first cell, as a startup file of IPython: every training of the
notebook becomes a line of COUNT_FOLDER/NN.jsonl."""

import json
import os
from pathlib import Path

import helpers.notebook
import helpers.training.trainer

plain_fit, plain_prepare, numbers = helpers.training.trainer.fit, helpers.notebook.prepare, []


def prepare(number):
    numbers.append(number)
    plain_prepare(number)


def fit(module, loader, **options):
    kind = next(each.__name__ for each in type(module).__mro__
                if each.__module__.startswith("helpers."))  # a notebook may make one of its own
    made = dict(kind=kind, encoder=module.encoder.name, steps=loader.steps,
                batch=loader.batch_size)
    with (Path(os.environ["COUNT_FOLDER"]) / f"{numbers[0]}.jsonl").open("a") as file:
        file.write(json.dumps(made) + "\n")
    return plain_fit(module, loader, **options)


helpers.notebook.prepare, helpers.training.trainer.fit = prepare, fit
