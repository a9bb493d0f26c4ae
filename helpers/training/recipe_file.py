"""A pretraining as a YAML file: `configs/` has some, and every run folder keeps its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from helpers.common.errors import UserError
from helpers.common.fields import check_names, checked, value_of
from helpers.common.files import write_atomically
from helpers.training.runs import Run

NAME = "recipe.yaml"  # in a run folder
FIELDS = dict(method=str, dataset=str, preset=str, encoder=str, image_size=int, seed=int,
              start=str, recipe=dict)


def write_recipe(run: Run) -> Path:
    """Keep what a run is made of in its folder; a UserError where that cannot be written in."""
    settings, recipe = run.settings, dataclasses.asdict(run.recipe)
    numbers = {name: list(value) if isinstance(value, tuple) else value
               for name, value in recipe.items()}
    content = dict(method=run.recipe.method, dataset=str(settings.dataset),
                   preset=settings.preset, encoder=settings.encoder,
                   image_size=settings.image_size, seed=settings.seed,
                   start=str(run.file.resolve()) if run.file else run.start, recipe=numbers)
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True)
    again = f"# python -m helpers pretrain {run.recipe.method} --config THIS_FILE\n"
    write_atomically(run.folder / NAME, again + text)
    return run.folder / NAME


def read_recipe(path: str | Path) -> dict[str, Any]:
    """What a file says: any of `FIELDS`; `recipe` has fields of the method's recipe by name.

    Raises:
        UserError: it is missing, is no YAML, or has an unknown field or a value of a wrong type.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is no YAML: {reason}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} has no fields: write lines such as `method: byol`")
    check_names(content, FIELDS, str(path))
    values = value_of({name: value for name, value in content.items() if value is not None})
    try:
        return {name: checked(name, value, FIELDS[name]) for name, value in values.items()}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
