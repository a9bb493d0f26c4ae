"""The options of `pretrain` that are fields of its recipe. Nothing here waits for torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from helpers.common.errors import UserError
from helpers.common.fields import did_you_mean, takes_several, value_of
from helpers.methods.recipes import PRETRAINING, Recipe, field_types


def add_recipe_options(command: argparse.ArgumentParser,
                       recipes: Sequence[type[Recipe]] = PRETRAINING) -> None:
    """An option for each field of recipes that has none of its own yet."""
    own = {cls.__name__.removesuffix("Recipe"): field_types(cls) for cls in recipes}
    command.set_defaults(has_views=any("views" in fields for fields in own.values()))
    views = ". A field of the views as well: --views.angle 25"
    group = command.add_argument_group(
        "recipe", "what helpers/methods/recipes.py says of each; default: the preset's"
        + views * command.get_default("has_views"))
    for name in dict.fromkeys(name for fields in own.values() for name in fields):
        option = f"--{name.replace('_', '-')}"
        if name == "views" or option in command._option_string_actions:
            continue
        several = any(takes_several(fields.get(name)) for fields in own.values())
        group.add_argument(option, dest=f"recipe.{name}", nargs="+" if several else None,
                           metavar="NUMBER" if several else "VALUE", default=argparse.SUPPRESS,
                           help=" and ".join(title for title in own if name in own[title]))


def views_of(words: list[str], command: argparse.ArgumentParser) -> dict[str, list[str]]:
    """The fields of views, from words such as `--views.angle 25`; other words are refused, and so
    are these where the command has no recipe."""
    known = command._option_string_actions
    views: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if command.get_default("has_views") and word.startswith("--views."):
            name, _, value = word.removeprefix("--views.").partition("=")
            views[name] = [value] if value else []
        elif name and not word.startswith("--"):
            views[name].append(word)
        else:
            near = did_you_mean(word.partition("=")[0], known) or ""
            raise UserError(f"unknown option {word}{near} (see `{command.prog} --help`)")
    for name, values in views.items():
        if not values:
            raise UserError(f"--views.{name} needs a value")
    return views


def given_fields(options: argparse.Namespace) -> dict[str, Any]:
    """The values of a recipe's own options, by field."""
    given = {}
    for name, words in vars(options).items():
        if name.startswith("recipe."):
            words = words if isinstance(words, list) else [words]
            given[name.removeprefix("recipe.")] = value_of_words(words)
    return given


def overrides(options: argparse.Namespace, usual: Recipe) -> dict[str, Any]:
    """The recipe's fields that the command line of `pretrain` gives."""
    given = given_fields(options)
    if options.batch_size:
        given["batch_size"] = options.batch_size
    if options.method == "noise-byol":
        if options.noise_sigma is not None:
            given["noise"] = usual.noise
        if options.noise_schedule is not None:
            given["ramp"] = usual.ramp
    return given


def value_of_words(words: list[str]) -> Any:
    """What words of the command line stand for: one value, or the list of several."""
    values = [value_of(word) for text in words for word in text.split(",")]
    return values if len(values) > 1 else values[0]
