"""A compiled step takes the same step; a compiler that fails is told of in one line and done
without."""

import copy

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd

from helpers.methods.byol import BYOL
from helpers.methods.dino import DINO
from helpers.models.encoder import build
from helpers.training.compiling import compiled, compiled_or_plain
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms.views import CleanView

IMAGES = torch.randint(0, 256, (32, 1, 16, 16), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(0))
VIEW = CleanView()(IMAGES)


def byol():
    torch.manual_seed(0)
    return BYOL(build("slim", channels=1, image_size=16, width=8), (CleanView(), CleanView()),
                steps=3, hidden=16, projection=8)


def train(backend):
    module = byol()
    losses = fit(module, BatchLoader(IMAGES, None, batch_size=16, steps=3), backend=backend).losses
    return module, losses


def refuses(graph, inputs):
    raise OSError("there is no compiler here\nand much more is said of it")


def same(first, second, **tolerance):
    return all(torch.allclose(a, b, **tolerance) for a, b in
               zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_a_compiled_training_is_the_plain_one():
    """aot_eager traces forward and backward as every backend does, and runs them without a C++
    compiler."""
    (plain, losses), (fast, ours) = train(None), train("aot_eager")
    assert ours == pytest.approx(losses, abs=1e-5)
    assert same(plain, fast, atol=1e-4)
    assert "loss" not in vars(fast)


def test_without_a_compiler_the_plain_step_is_taken_bit_for_bit(capsys):
    (plain, losses), (ours, also) = train(None), train(refuses)
    assert capsys.readouterr().out == (
        "torch.compile cannot be used here (OSError: there is no compiler here): "
        "training goes on without it\n")
    assert also == losses and same(plain, ours, rtol=0, atol=0)


def test_a_compiler_that_fails_in_the_backward_pass_is_done_without(capsys):
    module, backend = byol(), aot_autograd(fw_compiler=lambda graph, inputs: graph,
                                           bw_compiler=refuses)
    assert compiled_or_plain(module.loss, module, (VIEW, VIEW), backend) == module.loss
    assert "there is no compiler here" in capsys.readouterr().out


def test_the_trial_leaves_no_trace():
    module = byol()
    before, draws = copy.deepcopy(module), torch.get_rng_state()
    fast = compiled_or_plain(module.loss, module, (VIEW, VIEW), "eager")
    assert fast != module.loss
    assert same(module, before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(torch.get_rng_state(), draws)


def test_dinos_networks_can_be_compiled(capsys):
    torch.manual_seed(0)
    module = DINO(build("slim", channels=1, image_size=16, width=8), None, steps=3, hidden=16,
                  bottleneck=8, outputs=32, batch_norm=True)
    views = VIEW, VIEW[:, :, :8, :8]
    wanted = module.answers(*views)  # in training mode what came before does not matter
    with compiled(module, "eager"):
        got = module.answers(*views)
    assert capsys.readouterr().out == ""
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(wanted, got, strict=True))
