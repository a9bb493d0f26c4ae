"""The methods, each as short as its paper's pseudocode."""

from helpers.methods.byol import BYOL
from helpers.methods.classifier import Classifier
from helpers.methods.dino import DINO

__all__ = ["BYOL", "DINO", "Classifier"]
