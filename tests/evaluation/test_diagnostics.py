"""The measurements against closed forms, and every injected fault against the check that has to
catch it."""

import copy
import math

import pytest
import torch
from torch import nn

from helpers.data.loading import load
from helpers.evaluation.attention import attention_and_gradients, gradient_rollout
from helpers.evaluation.diagnostics.checks import CHECKS, Trial, check_up, shuffle_patches
from helpers.evaluation.diagnostics.faults import DATA_FAULTS, FAULTS
from helpers.evaluation.diagnostics.measures import (
    activation_statistics,
    block_values,
    gradient_norms,
    loss_at_start,
    update_ratios,
)
from helpers.evaluation.diagnostics.overfit import (
    Overfit,
    best_learning_rate,
    overfit_one_batch,
    search_learning_rate,
)
from helpers.models.vit import ViT, build_vit
from helpers.transforms.views import normalise

CATCHES = {
    "forgotten residual": "input passes through",
    "norm over tokens": "norm per token",
    "no position embedding": "order of patches",
    "frozen block": "gradient everywhere",
    "attention over the batch": "images apart",
    "softmax before the loss": "overfits a batch",
    "head starts too large": "loss at start",
    "shuffled labels": "held-out images",
}


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    splits = load("digits")
    return normalise(splits.train.images[:600]), splits.train.labels[:600]


@pytest.fixture(scope="module")
def noise() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 1, 16, 16,
                       generator=generator), torch.randint(0, 3, (8,), generator=generator)


def digits_vit() -> ViT:
    return build_vit("vit_digits", 16, channels=1, num_classes=10)


def tiny(**options) -> ViT:
    torch.manual_seed(0)
    return ViT(
        **{
            "image_size": 16, "patch_size": 8, "channels": 1, "width": 16, "depth": 3, "heads": 2,
            "num_classes": 3
        } | options)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 3))


# --- measurements -----------------------------------------------------------------------------

def test_the_digits_vit_memorises_64_digits_within_150_steps(digits):
    images, labels = digits
    torch.manual_seed(0)
    run = overfit_one_batch(digits_vit(), images[:64], labels[:64], lr=3e-3, max_steps=150,
                            tolerance=1e-2)
    assert run.reached and run.steps < 150
    assert run.losses[-1] < 1e-2 <= min(run.losses[:-1])
    assert len(run.losses) == run.steps + 1


def test_overfitting_stops_after_max_steps_and_says_that_it_failed(noise):
    run = overfit_one_batch(tiny(), *noise, lr=1e-5, max_steps=3)
    assert (run.steps, run.reached, len(run.losses)) == (3, False, 4)


def test_overfitting_ends_when_the_loss_is_not_a_number(noise):
    model = linear()
    nn.init.constant_(model[1].weight, math.inf)
    run = overfit_one_batch(model, *noise, max_steps=50)
    assert run.steps == 0 and not run.reached


def test_overfitting_with_dropout_repeats_under_its_seed(noise):
    runs = [
        overfit_one_batch(tiny(dropout=0.5), *noise, max_steps=4, seed=seed).losses
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_the_search_starts_every_rate_from_the_same_weights(noise):
    sizes = {"image_size": 16, "patch_size": 8, "channels": 1, "width": 16, "depth": 1, "heads": 2}
    runs = search_learning_rate(lambda: ViT(**sizes, num_classes=3), *noise, (1e-4, 1e-2),
                                max_steps=3)
    assert runs[1e-4].losses[0] == runs[1e-2].losses[0]
    assert runs[1e-4].losses[3] != runs[1e-2].losses[3]


def test_the_best_rate_needs_the_fewest_steps_and_a_low_loss_does_not_outdo_success():
    runs = {1e-4: Overfit([2.0, 1e-9], 90, False, 0), 1e-3: Overfit([2.0, 9e-4], 40, True, 0),
            1e-2: Overfit([2.0, 1e-5], 60, True, 0)}
    assert best_learning_rate(runs) == 1e-3


def test_the_best_rate_is_the_nearest_miss_when_none_succeeds():
    runs = {1e-4: Overfit([2.0, 1.0], 9, False, 0), 1e-3: Overfit([2.0, 0.5], 9, False, 0),
            1.0: Overfit([2.0, math.nan], 2, False, 0)}
    assert best_learning_rate(runs) == 1e-3


def test_a_model_without_preference_starts_at_the_logarithm_of_the_classes(noise):
    model = tiny()
    nn.init.zeros_(model.head.weight)
    assert loss_at_start(model, *noise) == pytest.approx((math.log(3), math.log(3)))


def test_gradient_norms_equal_the_closed_form_of_softmax_regression(noise):
    images, labels = noise
    model = linear()
    errors = model(images).softmax(1) - nn.functional.one_hot(labels, 3)                # B, 3
    norms = gradient_norms(model, images, labels)
    assert norms["1.bias"] == pytest.approx(errors.mean(0).norm().item(), rel=1e-4)
    assert norms["1.weight"] == pytest.approx((errors.T @ images.flatten(1) / 8).norm().item(),
                                              rel=1e-4)


def test_frozen_and_unused_parameters_have_gradient_norm_zero(noise):
    model = tiny()
    model.head.weight.requires_grad_(False)
    model.unused = nn.Parameter(torch.ones(2))
    norms = gradient_norms(model, *noise)
    assert [name for name, norm in norms.items() if norm == 0] == ["unused", "head.weight"]


def test_the_first_adam_update_moves_every_weight_by_the_learning_rate(noise):
    model = linear()
    weight = model[1].weight
    expected = 1e-3 * math.sqrt(weight.numel()) / weight.norm().item()
    assert update_ratios(model, *noise, lr=1e-3,
                         steps=1) == {"1.weight": pytest.approx(expected, rel=1e-3)}


def test_measuring_leaves_weights_gradients_and_modes_alone(noise):
    model = tiny(dropout=0.1).train()
    model.blocks[1].eval()
    before, modes = copy.deepcopy(
        model.state_dict()), [module.training for module in model.modules()]
    loss_at_start(model, *noise)
    gradient_norms(model, *noise)
    update_ratios(model, *noise, lr=1e-2)
    activation_statistics(model, noise[0])
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_activation_statistics_equal_those_of_the_models_own_layers(noise):
    model = tiny().eval()
    states = model.layers(noise[0])
    rows = activation_statistics(model, noise[0])
    assert [row["layer"] for row in rows] == ["block 1", "block 2", "block 3"]
    assert rows[1]["mean"] == pytest.approx(states[2].mean().item(), abs=1e-6)
    assert rows[1]["std"] == pytest.approx(states[2].std().item(), rel=1e-5)


def test_activation_statistics_leave_no_hooks_behind(noise):
    model = tiny()
    activation_statistics(model, noise[0])
    assert not any(block._forward_hooks for block in model.blocks)


# --- faults and checks ------------------------------------------------------------------------

def test_shuffled_patches_are_the_same_patches_in_another_order():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    shuffled = shuffle_patches(images, 2, seed=1)
    patches = [
        sorted(nn.functional.unfold(x, 2, stride=2)[0].T.tolist()) for x in (images, shuffled)
    ]
    assert patches[0] == patches[1] and not torch.equal(images, shuffled)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_no_shape_and_raises_nothing(name, noise):
    model = FAULTS[name](tiny())
    assert model(noise[0]).shape == (8, 3)
    assert model.state_dict().keys() >= tiny().state_dict().keys() - {"head.weight", "head.bias"}


def test_breaking_one_model_leaves_the_next_one_whole(noise):
    before = tiny()(noise[0])
    for inject in FAULTS.values():
        inject(tiny())
    assert torch.equal(tiny()(noise[0]), before)


def test_shuffling_labels_keeps_how_often_each_class_occurs():
    labels = torch.arange(5).repeat(20)
    shuffled = DATA_FAULTS["shuffled labels"](labels)
    assert torch.equal(shuffled.bincount(), labels.bincount()) and not torch.equal(shuffled, labels)


def test_the_healthy_model_passes_every_check(digits):
    findings = check_up(digits_vit, *digits)
    assert len(findings) == len(CHECKS)
    assert [finding.check for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(("fault", "check"), CATCHES.items())
def test_each_fault_is_caught_by_its_check(fault, check, digits):
    images, labels = digits
    if fault in DATA_FAULTS:
        trial = Trial(digits_vit, images, DATA_FAULTS[fault](labels))
    else:
        trial = Trial(lambda: FAULTS[fault](digits_vit()), images, labels)
    names = ("loss at start", "gradient everywhere", "order of patches", "norm per token",
             "input passes through", "images apart", "overfits a batch", "held-out images")
    finding = dict(zip(names, CHECKS, strict=True))[check](trial)
    assert finding.check == check and not finding.passed


def test_every_fault_has_a_check_and_every_check_a_fault():
    assert CATCHES.keys() == FAULTS.keys() | DATA_FAULTS.keys()
    assert len(set(CATCHES.values())) == len(CHECKS)


def test_a_softmax_before_the_loss_keeps_it_above_its_floor(digits):
    images, labels = digits
    torch.manual_seed(0)
    broken = FAULTS["softmax before the loss"](digits_vit())
    run = overfit_one_batch(broken, images[:32], labels[:32], max_steps=60)
    assert min(run.losses) > math.log(1 + 9 / math.e)  # even for a certain and right answer


def test_shuffled_labels_are_memorised_all_the_same(digits):
    images, labels = digits
    memorises = CHECKS[6]
    assert memorises(Trial(digits_vit, images, DATA_FAULTS["shuffled labels"](labels))).passed


# --- distributions and attention --------------------------------------------------------------

def test_block_values_are_the_outputs_and_the_gradients_of_each_block(noise):
    model = tiny().eval()
    values = block_values(model, *noise)
    assert list(values) == ["block 1", "block 2", "block 3"]
    states = model.layers(noise[0])
    torch.nn.functional.cross_entropy(model(noise[0]), noise[1]).backward()
    for number, (output, gradient) in enumerate(values.values()):
        torch.testing.assert_close(output, states[number + 1].detach().flatten())
        expected = torch.cat(
            [weight.grad.flatten() for weight in model.blocks[number].parameters()])
        torch.testing.assert_close(gradient, expected)


def test_block_values_of_a_frozen_block_have_no_gradients_and_leave_no_hooks(noise):
    model = tiny()
    model.blocks[1].requires_grad_(False)
    values = block_values(model, *noise)
    assert len(values["block 2"][1]) == 0 and len(values["block 3"][1]) > 0
    assert not any(module._forward_hooks for module in model.modules())


def test_attention_and_its_gradient_are_those_of_the_logit(noise):
    model = tiny()
    maps, gradients, classes = attention_and_gradients(model, model.head, noise[0])
    assert model.training
    model.eval()
    assert torch.equal(classes, model(noise[0]).argmax(1))
    for weights, own in zip(maps, model.attention_maps(noise[0]), strict=True):
        torch.testing.assert_close(weights, own)
    # A small change of the last block's weights changes the logit by the gradient's share of it.
    change = torch.zeros_like(maps[-1])
    change[0, 1, 0, 2] = 1e-3
    attention = model.blocks[-1].attention
    tokens = model.layers(noise[0])[-3]
    values = attention.qkv(model.blocks[-1].norm1(tokens)).chunk(3, -1)[2].view(8, -1, 2,
                                                                                8).transpose(1, 2)

    def logit(weights):
        moved = tokens + attention.out((weights @ values).transpose(1, 2).flatten(2))
        final = model.norm(moved + model.blocks[-1].mlp(model.blocks[-1].norm2(moved)))[:, 0]
        return model.head(final)[0, classes[0]]

    with torch.no_grad():
        slope = (logit(maps[-1] + change) - logit(maps[-1] - change)).item() / 2e-3
    assert slope == pytest.approx(gradients[-1][0, 1, 0, 2].item(), rel=0.02, abs=1e-5)


def test_gradients_follow_the_class_that_is_asked_for(noise):
    model = tiny()
    first, second = (attention_and_gradients(model, model.head, noise[0], torch.full(
        (8,), label))[1] for label in (0, 1))
    assert not torch.allclose(first[-1], second[-1])


def test_gradient_rollout_of_one_block_adds_what_helped_to_the_identity():
    # 1, 2 heads, 2 x 2
    weights = torch.tensor([[[[0.5, 0.5], [0.2, 0.8]], [[1.0, 0.0], [0.0, 1.0]]]])
    gradient = torch.tensor([[[[1.0, -1.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, -1.0]]]])
    expected = torch.eye(2) + torch.tensor([[(0.5 + 1.0) / 2, 0.0], [0.0, 1.6 / 2]])
    torch.testing.assert_close(gradient_rollout([weights], [gradient])[0], expected)


def test_gradient_rollout_multiplies_the_later_block_from_the_left_and_starts_as_identity():
    first, second = torch.rand(1, 1, 3, 3), torch.rand(1, 1, 3, 3)
    ones = torch.ones(1, 1, 3, 3)
    one = torch.eye(3)
    expected = (one + second[0, 0]) @ (one + first[0, 0])
    torch.testing.assert_close(gradient_rollout([first, second], [ones, ones])[0], expected)
    torch.testing.assert_close(gradient_rollout([first], [-ones])[0], one)
