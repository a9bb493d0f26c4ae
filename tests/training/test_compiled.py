"""A compiled step takes the same step; a compiler that fails is named in one line and left out."""

import copy

import pytest
import torch
import torch._dynamo
from pytorch_lightning.callbacks import Callback
from torch._dynamo.backends.common import aot_autograd

from helpers.methods.byol import BYOL
from helpers.methods.dino import DINO
from helpers.methods.recipes import BYOLRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.training.callbacks import Compiled, encoders_of
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms.multicrop import multicrop_for
from helpers.transforms.views import CleanView, DigitView

IMAGES = torch.randint(0, 256, (32, 1, 16, 16), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def nothing_compiled():
    """torch compiles a function a few times in a process, whoever asks, and then no more."""
    torch._dynamo.reset()


def encoder():
    torch.manual_seed(0)
    return build("slim", channels=1, image_size=16, width=8)


def byol(view=CleanView):
    return BYOL(encoder(), (view(), view()),
                BYOLRecipe(steps=3, hidden_dim=16, projection_dim=8))


def dino():
    recipe = DINORecipe(steps=3, hidden_dim=16, bottleneck_dim=8, output_dim=32, batch_norm=True)
    return DINO(encoder(), multicrop_for("digits", 16), recipe)


def train(module, *callbacks):
    return fit(module, BatchLoader(IMAGES, None, batch_size=16, steps=3),
               callbacks=callbacks).losses


def refuses(graph, inputs):
    raise OSError("there is no compiler here\nand much more is said of it")


class Notes(Callback):
    """The state of module and random numbers at the start, before or after the trial."""

    def on_train_start(self, trainer, module):
        self.state, self.draws = copy.deepcopy(module.state_dict()), torch.get_rng_state()
        self.gradients = [weight.grad for weight in module.parameters()]


def same(first, second, **tolerance):
    return all(torch.allclose(a, b, **tolerance) for a, b in
               zip(first.values(), second.values(), strict=True))


def test_a_compiled_training_is_the_plain_one(capsys):
    """aot_eager traces forward and backward as every backend does, without a C++ compiler."""
    plain, fast = byol(), byol()
    losses, ours = train(plain), train(fast, Compiled("aot_eager"))
    assert capsys.readouterr().out == "" and ours == pytest.approx(losses, abs=1e-5)
    assert same(plain.state_dict(), fast.state_dict(), atol=1e-4)


@pytest.mark.parametrize("make", [byol, dino])
def test_both_encoders_are_compiled_while_training_and_plain_afterwards(make, capsys):
    calls = []

    def counts(graph, inputs):
        calls.append(graph)
        return graph

    module = make()
    train(module, Compiled(counts))
    assert capsys.readouterr().out == "" and len(encoders_of(module)) == 2 <= len(calls)
    assert all(part._compiled_call_impl is None for part in module.modules())


@pytest.mark.parametrize("backend", [
    refuses,
    aot_autograd(fw_compiler=lambda graph, inputs: graph, bw_compiler=refuses)])
def test_without_a_compiler_the_plain_step_is_taken_bit_for_bit(backend, capsys):
    plain, ours = byol(DigitView), byol(DigitView)
    losses, also = train(plain), train(ours, Compiled(backend))
    assert capsys.readouterr().out == (
        "torch.compile cannot be used here (OSError: there is no compiler here): "
        "training goes on without it\n")
    assert also == losses and same(plain.state_dict(), ours.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("make", [byol, dino])
def test_the_trial_leaves_no_trace(make):
    before, after = Notes(), Notes()
    train(make(), before, Compiled("eager"), after)
    assert same(before.state, after.state, rtol=0, atol=0)
    assert torch.equal(before.draws, after.draws)
    assert after.gradients == before.gradients
