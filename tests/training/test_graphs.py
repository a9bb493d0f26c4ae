"""Recorded passes are the plain ones; where nothing can be recorded, one line says so.

There is no GPU here: what stands in for torch's recording tries the passes as that does, and gives
the same memory at every call. On an H200 the losses of recorded and plain trainings were equal.
"""

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.utils._pytree import tree_leaves

from helpers.methods.byol import BYOL
from helpers.methods.classifier import Classifier, linear_head
from helpers.methods.dino import DINO
from helpers.methods.recipes import BYOLRecipe, ClassifierRecipe, DINORecipe
from helpers.models.encoder import build
from helpers.training import graphs
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit
from helpers.transforms.multicrop import multicrop_for
from helpers.transforms.views import DigitView

IMAGES = torch.randint(0, 256, (32, 1, 16, 16), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(0))
STEPS = 4


def encoder():
    torch.manual_seed(0)
    return build("slim", channels=1, image_size=16, width=8)


def byol():
    return BYOL(encoder(), (DigitView(), DigitView()),
                BYOLRecipe(steps=STEPS, hidden_dim=16, projection_dim=8))


def dino():
    recipe = DINORecipe(steps=STEPS, hidden_dim=16, bottleneck_dim=8, output_dim=32,
                        batch_norm=True)
    return DINO(encoder(), multicrop_for("digits", 16), recipe)


class Same(torch.autograd.Function):
    """Puts a value into memory that the next call uses as well."""

    @staticmethod
    def forward(ctx, value, memory):
        return memory.copy_(value)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Replay(nn.Module):
    """Stands in for what torch records."""

    def __init__(self, callable, shown):
        super().__init__()
        self.callable, self.calls = callable, 0
        for _ in range(3):  # passes that torch tries first
            made = callable(*shown)
            weights = [weight for weight in callable.parameters() if weight.requires_grad]
            trained = [each.sum() for each in tree_leaves(made) if each.requires_grad]
            torch.autograd.grad(sum(trained), weights)
        self.memory = [torch.zeros_like(each) for each in tree_leaves(made)]

    def forward(self, *shown):
        self.calls += 1
        made = self.callable(*shown)
        several = isinstance(made, tuple)
        values = [Same.apply(value, memory.detach())
                  for value, memory in zip(tree_leaves(made), self.memory, strict=True)]
        return tuple(values) if several else values[0]


@pytest.fixture
def replays(monkeypatch):
    """What was recorded."""
    made = []

    def record(callable, shown, allow_unused_input):
        made.append(Replay(callable, shown))
        return made[-1]

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(graphs, "worth_it", lambda trainer, module: hasattr(module, "recorded"))
    return made


def train(module, recorded=True, **hardware):
    loader = BatchLoader(IMAGES, None, batch_size=16, steps=STEPS)
    return fit(module, loader, hardware=Hardware(graphs=recorded, **hardware)).losses


class Twice(Callback):
    """Calls what is recorded with other views, and looks at the first answer again."""

    def on_train_batch_start(self, trainer, module, batch, index):
        first, second = (module.loss(*module.shown(batch[0])) for _ in range(2))
        self.found = first.item(), second.item()


@pytest.mark.parametrize("make", [byol, dino])
def test_a_recorded_training_is_the_plain_one_and_leaves_nothing_behind(make, replays, capsys):
    plain, ours = make(), make()
    losses = train(plain, recorded=False)
    assert not replays and len(set(losses)) == STEPS
    assert train(ours) == losses and replays[0].calls == STEPS
    for name, value in plain.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    assert ours.recorded not in vars(ours) and capsys.readouterr().out == ""
    assert all(weight.grad is None for weight in ours.parameters())


def test_an_answer_stays_when_the_recording_is_used_again(replays):
    twice = Twice()
    fit(byol(), BatchLoader(IMAGES, None, batch_size=16, steps=STEPS), callbacks=[twice])
    first, second = twice.found
    assert first != second and replays[0].calls == 3 * STEPS


def test_where_recording_fails_one_line_says_so_and_the_training_is_the_plain_one(
        replays, monkeypatch, capsys):
    def refuse(callable, shown, allow_unused_input):
        callable(*shown)  # has moved the running averages
        raise torch.OutOfMemoryError("no room for it\nand much more is said of it")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    plain, ours = byol(), byol()
    assert train(ours) == train(plain, recorded=False)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "OutOfMemoryError: no room for it" in said
    for name, value in plain.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


def test_an_interrupted_training_leaves_no_recording(replays, monkeypatch):
    module = byol()
    monkeypatch.setattr(BYOL, "update_target", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(module)
    assert replays[0].calls == 1 and "loss" not in vars(module)


def test_half_precision_is_recorded_without_its_cache(replays, monkeypatch):
    seen = []
    plain = BYOL.loss
    monkeypatch.setattr(BYOL, "loss", lambda module, *views: seen.append(
        (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled())) or plain(
            module, *views))
    train(byol(), half="bf16-mixed")
    assert seen[:3] == [(True, False)] * 3 and torch.is_autocast_cache_enabled()
    seen.clear()
    train(byol(), half="32-true")
    assert not seen[0][0]


def test_an_error_without_words_is_a_line_as_well(replays, monkeypatch, capsys):
    def refuse(callable, shown, allow_unused_input):
        raise RuntimeError

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    assert len(train(byol())) == STEPS
    assert "cannot be used here (RuntimeError: it says no more):" in capsys.readouterr().out


@pytest.mark.parametrize("steps, device, world, name, worth", [
    (graphs.LEAST_RECORDED, "cuda", 1, "loss", True),
    (graphs.LEAST_RECORDED - 1, "cuda", 1, "loss", False), (1000, "cpu", 1, "loss", False),
    (1000, "cuda", 2, "loss", False), (1000, "cuda", 1, "", False)])
def test_one_gpu_records_what_is_long_enough(steps, device, world, name, worth):
    class Trainer:
        max_steps, world_size = steps, world

    class Module:
        recorded = name

    Module.device = torch.device(device)
    assert graphs.worth_it(Trainer, Module) == worth


def test_a_classifier_has_nothing_to_record(replays):
    slim = encoder()
    module = Classifier(slim, linear_head(slim.num_features, 2), DigitView(),
                        ClassifierRecipe(steps=STEPS))
    fit(module, BatchLoader(IMAGES, torch.arange(32) % 2, batch_size=16, steps=STEPS))
    assert not replays


def test_a_compiled_training_is_not_recorded_as_well(replays, monkeypatch, capsys):
    monkeypatch.setattr("helpers.training.callbacks.Compiled.on_train_start", lambda *_: None)
    train(byol(), compiled=True)
    assert not replays
