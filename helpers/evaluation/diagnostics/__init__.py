"""Does a network learn at all? Measurements, planted faults, and the checks that catch them."""

from helpers.evaluation.attention import attention_and_gradients, gradient_rollout
from helpers.evaluation.diagnostics.checks import CHECKS, Finding, Trial, check_up, check_up_faults
from helpers.evaluation.diagnostics.faults import DATA_FAULTS, FAULTS
from helpers.evaluation.diagnostics.measures import (
           LossAtStart,
           Overfit,
           activation_statistics,
           best_learning_rate,
           block_values,
           gradient_norms,
           loss_at_start,
           overfit_one_batch,
           search_learning_rate,
           update_ratios,
)

__all__ = [
    "CHECKS", "DATA_FAULTS", "FAULTS", "Finding", "LossAtStart", "Overfit", "Trial",
    "activation_statistics", "attention_and_gradients", "best_learning_rate", "block_values",
    "check_up", "check_up_faults", "gradient_norms", "gradient_rollout", "loss_at_start",
    "overfit_one_batch", "search_learning_rate", "update_ratios"
]
