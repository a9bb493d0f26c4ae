"""BYOL against the textbook: loss, gradients, target, schedules."""

import copy

import pytest
import torch
from lightly.models.utils import update_momentum
from torch.nn import functional as F

from helpers.common.compute import threads_for
from helpers.methods.byol import BYOL
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import build
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit
from helpers.transforms.views import CleanView, DigitView


@pytest.fixture
def digits():
    return torch.randint(0, 256, (96, 1, 16, 16), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))


def recipe(**options):
    return BYOLRecipe(**{"steps": 10, "hidden_dim": 32, "projection_dim": 16, **options})


def make(**options):
    torch.manual_seed(0)
    return BYOL(build("slim", channels=1, image_size=16), (CleanView(), CleanView()),
                recipe(**options))


def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 32, 1, 16, 16, generator=generator)


def test_target_starts_as_a_copy_of_online():
    module = make()
    encoder, projector = module.target
    for ours, theirs in ((encoder, module.encoder), (projector, module.projector)):
        assert all(
            torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_ema_moves_target_towards_online_by_the_momentum():
    module = make()
    with torch.no_grad():
        for parameter in module.encoder.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in module.target[0].parameters()]
    module.update_target(0.9)
    for old, new in zip(before, module.target[0].parameters(), strict=True):
        assert torch.allclose(new, old + 0.1, atol=1e-6)


def test_ema_in_one_call_equals_lightlys_loop():
    module = make()
    online = [module.encoder, module.projector]
    with torch.no_grad():
        for network in online:
            for parameter in network.parameters():
                parameter.mul_(1.5)
    peer = copy.deepcopy(module.target)
    module.update_target(0.97)
    for network, slow in zip(online, peer, strict=True):
        update_momentum(network, slow, 0.97)
    for ours, theirs in zip(module.target.parameters(), peer.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_target_gets_no_gradient():
    module = make()
    module.loss(*pair()).backward()
    assert all(p.grad is None and not p.requires_grad for p in module.target.parameters())
    assert all(p.grad is not None for p in module.predictor.parameters())


def test_loss_equals_the_papers_up_to_its_constants():
    """Equation 2: mean squared error of normalised vectors is 2 - 2 cos, summed over both
    directions."""
    module, (first, second) = make(), pair()
    peer = copy.deepcopy(module)

    def regression(online_view, target_view):
        q = F.normalize(peer.predictor(peer.projector(peer.encoder(online_view))), dim=1)
        with torch.no_grad():
            z = F.normalize(peer.target[1](peer.target[0](target_view)), dim=1)
        return (q - z).square().sum(1).mean()

    paper = regression(first, second) + regression(second, first)
    assert module.loss(first, second).item() == pytest.approx(paper.item() / 4 - 1, abs=1e-5)


def test_the_loss_is_computed_in_fp32_where_the_network_is_not():
    """bf16 has 256 numbers between 0.5 and 1: the losses of a training would be steps."""
    module, (first, second) = make(), pair()
    with torch.autocast("cpu", torch.bfloat16):
        online, target = module.online(first), module.targets(second)
        losses = [module.loss(first * share, second) for share in torch.linspace(1, 2, 20)]
        same = F.cosine_similarity(online.float(), target.float()).mean()
    assert online.dtype == torch.bfloat16 and losses[0].dtype == torch.float32
    assert -same - 0.05 < 2 * losses[0] + F.cosine_similarity(
        module.online(second).float(), module.targets(first).float()).mean() < -same + 0.05
    assert len({loss.item() for loss in losses}) > 15


def test_one_step_of_the_trainer_equals_the_plain_textbook_step(digits):
    module = make(steps=4, lr=1e-3)
    plain = copy.deepcopy(module)
    loader = BatchLoader(digits, None, batch_size=32, steps=4)
    images = next(iter(BatchLoader(digits, None, batch_size=32, steps=4)))[0]
    loader.steps = 1
    fit(module, loader, hardware=Hardware(half=False))

    view = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    plain.to(memory_format=torch.channels_last)
    online = [plain.encoder, plain.projector, plain.predictor]
    decayed = [p for m in online for p in m.parameters() if p.ndim > 1]
    others = [p for m in online for p in m.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=1e-4),
         dict(params=others, weight_decay=0.0)], lr=1e-3, foreach=False, fused=False)
    # the first step of Adam is the sign of the gradient: sums must be taken in one order
    with threads_for(images):
        q = [plain.predictor(plain.projector(plain.encoder(view))) for _ in range(2)]
        z = [plain.target[1](plain.target[0](view)).detach() for _ in range(2)]
        (-0.5 * sum(F.cosine_similarity(a, b).mean()
                    for a, b in zip(q, reversed(z), strict=True))).backward()
        optimizer.step()
    momentum = plain.target_momentum(0)
    with torch.no_grad():
        for slow, fast in zip(plain.target.parameters(),
                              [*plain.encoder.parameters(), *plain.projector.parameters()],
                              strict=True):
            slow.mul_(momentum).add_(fast, alpha=1 - momentum)
    for name, value in module.state_dict().items():
        assert torch.allclose(value.float(), plain.state_dict()[name].float(), atol=2e-5), name


def test_the_first_step_moves_the_target_by_the_momentum_of_step_0(digits, monkeypatch):
    module, moved = make(steps=3, ema=0.5), []
    monkeypatch.setattr(module, "update_target", moved.append)
    fit(module, BatchLoader(digits, None, batch_size=32, steps=3))
    assert moved == [module.target_momentum(step) for step in range(3)] and moved[0] == 0.5


def test_momentum_rises_from_its_start_to_one():
    module = make(steps=100, ema=0.98)
    values = [module.target_momentum(step) for step in range(0, 101)]
    assert values[0] == pytest.approx(0.98) and values[-1] == pytest.approx(1.0)
    assert values[50] == pytest.approx(0.99, abs=1e-3)
    assert all(a <= b for a, b in zip(values, values[1:], strict=False))


def test_a_momentum_that_ends_where_it_starts_stays_there():
    module = make(steps=100, ema=0.996, ema_end=0.996)
    assert [module.target_momentum(step) for step in (0, 50, 100)] == pytest.approx([0.996] * 3)


def test_noise_is_ramped_in():
    module = make(steps=100, ramp=(0.2, 0.6))
    strengths = []
    for step in (0, 20, 40, 60, 100):
        module.__class__ = type("AtStep", (BYOL,), {"global_step": step})
        strengths.append(module.noise_strength())
    assert strengths == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_without_a_ramp_all_noise_is_there_from_the_first_step():
    module = make(steps=100, ramp=(0.0, 0.0))
    assert module.noise_strength() == 1.0


def test_a_linear_schedule_grows_over_the_whole_training():
    module = make(steps=100, ramp=(0.0, 1.0))
    strengths = []
    for step in (0, 25, 50, 100):
        module.__class__ = type("AtStep", (BYOL,), {"global_step": step})
        strengths.append(module.noise_strength())
    assert strengths == pytest.approx([0.0, 0.25, 0.5, 1.0])


def test_a_few_steps_lower_the_loss(digits):
    torch.manual_seed(0)
    encoder = build("slim", channels=1, image_size=16)
    module = BYOL(encoder, (DigitView(), DigitView()),
                  recipe(steps=30, hidden_dim=64, projection_dim=32))
    losses = fit(module, BatchLoader(digits, None, batch_size=32, steps=30)).losses
    assert len(losses) == 30
    assert sum(losses[-5:]) < sum(losses[:5]) - 0.5
