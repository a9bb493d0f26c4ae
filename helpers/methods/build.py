"""A recipe, an encoder and settings become what trains: the views and the method's module."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from helpers.common.errors import UserError
from helpers.common.fields import check_names, checked
from helpers.methods.recipes import BYOLRecipe, DINORecipe, field_types
from helpers.models.encoder import Encoder
from helpers.settings import Settings
from helpers.transforms.multicrop import LocalCrop, MultiCrop, multicrop_for
from helpers.transforms.views import DRAWINGS, Noisy, PhotoView, view_for

if TYPE_CHECKING:
    from helpers.methods.byol import BYOL
    from helpers.methods.dino import DINO


def build_method(recipe: BYOLRecipe | DINORecipe, encoder: Encoder, settings: Settings,
                 steps_per_epoch: float = 0.0) -> BYOL | DINO:
    """The module that trains `encoder` on the settings' dataset.

    Args:
        steps_per_epoch: so many batches hold every image once; DINO counts epochs.

    Raises:
        UserError: batches of one image for BYOL, or a field that its views do not have.
    """
    # Lightning and lightly take seconds to import; a plan asks for views alone.
    from helpers.methods.byol import BYOL
    from helpers.methods.dino import DINO

    if isinstance(recipe, BYOLRecipe):
        if recipe.batch_size < 2:
            raise UserError("BYOL's heads normalise over a batch, and one image has no deviation: "
                            "choose a batch size of 2 or more")
        return BYOL(encoder, two_views(recipe, settings, encoder), recipe)
    # a training shorter than an epoch would never train the last layer
    frozen_steps = min(round(recipe.frozen_epochs * steps_per_epoch), recipe.steps // 2)
    return DINO(encoder, crops_for(recipe, settings, encoder), recipe, frozen_steps)


def two_views(recipe: BYOLRecipe, settings: Settings, encoder: Encoder | None = None) -> tuple:
    """The pair of views of BYOL: both augmented, with `noise` the second one noisy as well.

    Photographs that are large enough for a blur get the two that differ (Grill et al. 2020,
    appendix B); others twice the same. `encoder` is asked for its patch size; without one it has
    none.
    """
    first = second = view_for(settings.dataset, settings.image_size,
                              encoder.patch_size if encoder else 1)
    if isinstance(first, PhotoView) and first.blur:
        second = dataclasses.replace(first, blur=0.1, solarize=0.2)
        first = dataclasses.replace(first, blur=1.0)
    first, second = (changed_view(view, recipe.views) for view in (first, second))
    return first, Noisy(second, recipe.noise) if recipe.noise else second


def crops_for(recipe: DINORecipe, settings: Settings, encoder: Encoder | None = None) -> Any:
    """The global and local crops of DINO, a `MultiCrop`; their sides are multiples of the
    encoder's patch, or of 8 pixels.

    Raises:
        UserError: a size of views that is none, or a field that they do not have.
    """
    views = dict(recipe.views or {})
    if "scale" in views:
        raise UserError("views.scale of DINO is what global_scale and local_scale say")
    size = None
    if settings.dataset not in DRAWINGS:  # global crops of these show everything
        size = changed_view(PhotoView(), views).size
        views.pop("size", None)
    patch = getattr(encoder.backbone, "patch_size", 8) if encoder else 8
    if size and size % patch:
        near = max(1, size // patch) * patch
        raise UserError(f"views.size {size} is no multiple of {patch} pixels, as DINO's crops are: "
                        f"take {near} or {near + patch}")
    made = multicrop_for(settings.dataset, settings.image_size, size=size, step=patch,
                         local_crops=recipe.local_crops, global_scale=recipe.global_scale,
                         local_scale=recipe.local_scale)
    first, second = (changed_view(view, views) for view in (made.first, made.second))
    if isinstance(made.local, LocalCrop):
        view = changed_view(made.local.view, views)
        local = dataclasses.replace(made.local, view=view)
    else:
        local = changed_view(made.local, views)
    return MultiCrop(first, second, local, recipe.local_crops)


def changed_view(view: Any, changes: dict | None) -> Any:
    """A view with some of its fields changed, by name."""
    hints = field_types(type(view))
    check_names(changes or {}, hints, type(view).__name__)
    return dataclasses.replace(view, **{name: checked(f"views.{name}", value, hints[name])
                                        for name, value in (changes or {}).items()})
