"""The schedule in closed form, weight decay where it belongs, and the classifier's heads."""

import importlib.machinery
import math
import sys
import types

import pytest
import torch
from lightly.utils.lars import LARS as PeerLARS
from torch import nn
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.methods.classifier import Classifier, linear_head, mlp_head
from helpers.methods.lars import LARS
from helpers.methods.optim import (
    optimizer,
    parameter_groups,
    warmup_cosine,
    warmup_stable_decay,
)
from helpers.methods.recipes import ClassifierRecipe, Recipe
from helpers.models.encoder import build
from helpers.transforms.views import CleanView

EIGHT_BIT = Recipe(steps=10, optimizer="adamw_8bit")


def test_the_rate_starts_at_one_step_of_the_rise_and_not_at_zero():
    assert warmup_cosine(0, 100, 0.1) == pytest.approx(0.1)


def test_the_rate_rises_evenly():
    assert [warmup_cosine(step, 100, 0.1)
            for step in range(10)] == pytest.approx([(s + 1) / 10 for s in range(10)])


def test_the_peak_is_one_at_the_end_of_the_rise():
    assert warmup_cosine(9, 100, 0.1) == 1.0
    assert warmup_cosine(10, 100, 0.1) == 1.0
    assert max(warmup_cosine(step, 100, 0.1) for step in range(101)) == 1.0


def test_after_the_rise_the_rate_is_half_a_cosine():
    for share in (0.25, 0.5, 0.75):
        assert warmup_cosine(20 + round(share * 80), 100, 0.2) == pytest.approx(
            (1 + math.cos(math.pi * share)) / 2)


def test_the_rate_ends_at_zero_and_stays_there():
    assert warmup_cosine(100, 100, 0.1) == pytest.approx(0, abs=1e-12)
    assert warmup_cosine(150, 100, 0.1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_a_very_short_training_still_has_a_positive_rate(total):
    assert all(0 < warmup_cosine(step, total, 0.1) <= 1 for step in range(total))


def test_weight_decay_is_only_on_tensors_of_two_or_more_dimensions():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    decayed, free = parameter_groups([model], weight_decay=0.3, lr=0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in free["params"]} == {1}


def test_every_trainable_parameter_is_in_one_group_and_frozen_ones_in_none():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    groups = parameter_groups([model], 0.1, 0.1)
    assert [id(p)
            for group in groups
            for p in group["params"]] == [id(p) for p in model[1].parameters()]


def test_the_optimizer_follows_the_schedule():
    model = nn.Linear(4, 3)
    made = optimizer(parameter_groups([model], 0.0, 0.5), Recipe(steps=10, warmup=0.2))
    stepped, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(10):
        rates.append(stepped.param_groups[0]["lr"])
        model(torch.ones(1, 4)).sum().backward()
        stepped.step()
        schedule.step()
    assert rates == pytest.approx([0.5 * warmup_cosine(step, 10, 0.2) for step in range(10)])
    assert made["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_all_tensors_in_a_few_calls_give_the_numbers_of_tensor_by_tensor(name):
    def trained(**way):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(9, 33), nn.BatchNorm1d(33), nn.Linear(33, 5))
        groups = parameter_groups([network], 0.1, 2e-3)
        made = optimizer(groups, Recipe(steps=9, optimizer=name), fused=False)["optimizer"]
        for group in made.param_groups:
            group.update(way)
        for _ in range(9):
            made.zero_grad()
            network(torch.randn(16, 9)).square().mean().backward()
            made.step()
        return network.state_dict(), made.param_groups[0]["foreach"]

    (plain, off), (ours, on) = trained(foreach=False), trained()
    assert (off, on) == (False, True)
    assert all(torch.equal(value, ours[key]) for key, value in plain.items())


def test_a_linear_head_starts_at_zero_and_prefers_no_class():
    head = linear_head(7, 5)
    assert torch.equal(head(torch.randn(3, 7)), torch.zeros(3, 5))


def test_the_mlp_head_has_hidden_layers_of_512_and_128():
    head = mlp_head(96, 10)
    assert [tuple(p.shape) for p in head.parameters() if p.ndim == 2] == [(512, 96), (128, 512),
                                                                          (10, 128)]


def classifier(**options) -> Classifier:
    encoder = build("slim", channels=1, image_size=8, width=8)
    return Classifier(encoder, linear_head(encoder.num_features, 3), CleanView(),
                      ClassifierRecipe(steps=10, **options))


def test_the_head_learns_at_its_own_rate():
    module = classifier(lr=0.1, head_lr=0.4)
    rates = {
        id(p): group["initial_lr"]
        for group in module.configure_optimizers()["optimizer"].param_groups
        for p in group["params"]
    }
    assert {rates[id(p)] for p in module.encoder.parameters()} == {0.1}
    assert {rates[id(p)] for p in module.head.parameters()} == {0.4}


def test_the_head_learns_at_the_encoders_rate_unless_told_otherwise():
    groups = classifier(lr=0.1).configure_optimizers()["optimizer"].param_groups
    assert {group["initial_lr"] for group in groups} == {0.1}


def test_a_frozen_encoder_is_left_out_of_the_optimizer():
    module = classifier()
    module.encoder.requires_grad_(False)
    groups = module.configure_optimizers()["optimizer"].param_groups
    assert sum(len(group["params"]) for group in groups) == 2


def test_the_loss_of_the_first_step_is_that_of_guessing_evenly():
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    loss = classifier().training_step((images, torch.tensor([0, 1, 2, 0])), 0)
    assert loss.item() == pytest.approx(math.log(3), rel=1e-5)


def test_the_loss_is_cross_entropy_of_the_viewed_images():
    module = classifier().eval()
    nn.init.normal_(module.head.weight)
    images, labels = torch.randint(0, 256, (4, 1, 8, 8),
                                   dtype=torch.uint8), torch.tensor([0, 1, 2, 0])
    expected = F.cross_entropy(module(images / 127.5 - 1), labels)
    torch.testing.assert_close(module.training_step((images, labels), 0), expected)


def test_warm_up_stable_decay_rises_holds_and_falls_to_nearly_nothing():
    values = [warmup_stable_decay(step, 100, 0.1, 0.2) for step in range(101)]
    assert values[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert values[10:81] == pytest.approx([1.0] * 71)
    assert values[81:] == pytest.approx([(100 - step) / 20 for step in range(81, 101)])


def test_a_classifier_follows_the_schedule_it_is_given():
    module = Classifier(build("slim", channels=1, image_size=8, width=8), linear_head(32, 3),
                        CleanView(), ClassifierRecipe(steps=50, lr=0.1, schedule="stable"))
    made = module.configure_optimizers()
    rates = []
    for _ in range(50):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0.1 * warmup_stable_decay(step, 50, 0.08) for step in range(50)])


def test_eight_bits_that_cannot_be_had_are_one_line(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="8-bit optimizer needs a CUDA GPU"):
        optimizer(parameter_groups([nn.Linear(2, 2)], 0.0, 0.5), EIGHT_BIT)


def test_eight_bits_are_bitsandbytes_where_it_is(monkeypatch):
    class AdamW8bit(torch.optim.SGD):
        pass

    for name, parts in (("bitsandbytes", {}), ("bitsandbytes.optim", {"AdamW8bit": AdamW8bit})):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__dict__.update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    made = optimizer(parameter_groups([nn.Linear(2, 2)], 0.0, 0.5), EIGHT_BIT)
    assert isinstance(made["optimizer"], AdamW8bit)


def test_sgd_has_the_recipes_momentum_and_a_constant_rate_after_its_rise():
    recipe = Recipe(steps=10, optimizer="sgd", sgd_momentum=0.8, warmup=0.2, schedule="constant")
    made = optimizer(parameter_groups([nn.Linear(2, 2)], 0.1, 0.5), recipe)
    assert type(made["optimizer"]) is torch.optim.SGD
    assert [group["momentum"] for group in made["optimizer"].param_groups] == [0.8, 0.8]
    rates = []
    for _ in range(10):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert rates == pytest.approx([0.25] + [0.5] * 9)


def after_steps(kind, steps=5, decay=1e-6):
    """The weights of a small network that `kind` has trained."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    trained = kind(parameter_groups([model], decay, 0.5))
    for step in range(steps):
        x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
        trained.zero_grad()
        model(x).square().mean().backward()
        trained.step()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_lars_makes_the_steps_of_lightlys():
    peer = after_steps(lambda groups: PeerLARS(groups, lr=0.5, momentum=0.9))
    ours = after_steps(LARS)
    assert torch.allclose(ours, peer, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(ours, after_steps(LARS, steps=1))


def test_a_layer_moves_by_the_same_share_of_its_norm_whatever_its_gradient():
    moved = []
    for scale in (1.0, 1000.0):
        weight = nn.Parameter(torch.eye(3))
        trained = LARS([dict(params=[weight], lr=1.0, weight_decay=1e-9)], momentum=0.0)
        weight.grad = scale * torch.ones(3, 3)
        trained.step()
        moved.append((weight - torch.eye(3)).norm().item() / 3**0.5)
    assert moved == pytest.approx([1e-3, 1e-3], rel=1e-4)


def test_layers_without_gradient_or_weight_keep_lars_finite():
    weight = nn.Parameter(torch.zeros(2, 2))
    trained = LARS([dict(params=[weight], lr=1.0, weight_decay=1e-6)])
    weight.grad = torch.zeros(2, 2)
    trained.step()
    assert weight.isfinite().all()


def test_a_recipe_can_ask_for_lars():
    recipe = Recipe(steps=10, optimizer="lars", sgd_momentum=0.8)
    made = optimizer(parameter_groups([nn.Linear(2, 2)], 1e-6, 2.0), recipe)["optimizer"]
    assert isinstance(made, LARS) and made.defaults["momentum"] == 0.8
