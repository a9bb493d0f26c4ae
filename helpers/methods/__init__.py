"""The methods, each as short as its paper's pseudocode, and what each trains with."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    byol="BYOL",
    dino="DINO",
    classifier="Classifier linear_head mlp_head",
    build="build_method crops_for two_views",
    recipes="BYOLRecipe ClassifierRecipe DINORecipe",
    presets="fine_tuning recipe_for title",
)
