"""The methods, each as short as its paper's pseudocode."""

from helpers.methods.byol import BYOL
from helpers.methods.classifier import Classifier

__all__ = ["BYOL", "Classifier"]
