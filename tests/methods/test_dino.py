"""DINO against the paper's pseudocode: loss, centre, teacher, schedules, clipping, and a training
that resumes."""

import copy
import math

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn import functional as F

from helpers.methods.build import build_method
from helpers.methods.dino import DINO, clip_each, collapse_metrics
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import DINORecipe
from helpers.models.encoder import build
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit
from helpers.transforms.multicrop import LocalCrop, MultiCrop, multicrop_for
from helpers.transforms.views import CleanView

K = 24


@pytest.fixture
def digits():
    return torch.randint(0, 256, (96, 1, 16, 16), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(0))


def recipe(**options):
    return DINORecipe(**{"steps": 10, "hidden_dim": 16, "bottleneck_dim": 8, "output_dim": K,
                         **options})


def make(encoder="slim", crops=None, frozen_steps=0, **options):
    torch.manual_seed(0)
    size = dict(width=8) if encoder == "slim" else dict(width=16, depth=2, heads=2)
    crops = crops or multicrop_for("digits", 16, local_crops=2)
    return DINO(build(encoder, channels=1, image_size=16, **size), crops, recipe(**options),
                frozen_steps)


def at_step(module, step):
    module.__class__ = type("AtStep", (DINO,), {"global_step": step})
    return module


def fit_and_note(module, loader, what):
    """Train, and return what `what()` was after every step."""
    class Notes(Callback):
        def on_train_batch_end(self, *_):
            notes.append(what())

    notes = []
    fit(module, loader, callbacks=[Notes()])
    return notes


def outputs(views, seed=0):
    return torch.randn(views, 5, K, generator=torch.Generator().manual_seed(seed)).unbind()


def papers_loss(teacher, student, center, temperature):
    """Algorithm 1 of the paper, H(t, s) for every pair of different views, with multi-crop."""
    pairs = []
    for i, t in enumerate(teacher):
        for j, s in enumerate(student):
            if i != j:
                t_probability = F.softmax((t.detach() - center) / temperature, dim=1)
                pairs.append(-(t_probability * F.log_softmax(s / 0.1, dim=1)).sum(1).mean())
    return sum(pairs) / len(pairs)


def test_loss_and_its_gradient_equal_the_papers_pseudocode():
    module, teacher = at_step(make(), 0), outputs(2)
    module.criterion.center += torch.linspace(-1, 1, K)
    center = module.criterion.center[0].clone()
    ours, theirs = ([s.clone().requires_grad_() for s in outputs(6, seed=1)] for _ in range(2))
    loss, expected = module.loss(teacher, ours), papers_loss(teacher, theirs, center, 0.04)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4)


def test_a_centre_that_keeps_its_momentum_of_1_never_moves():
    module = at_step(make(center_momentum=1.0), 0)
    module.loss(outputs(2), outputs(4, seed=1))
    assert not module.criterion.center.any()


def test_the_teacher_is_the_encoder_that_is_watched_and_kept():
    module = make()
    assert module.encoder is module.teacher and module.encoder is not module.student


def test_the_center_moves_after_the_loss_by_a_tenth_of_the_batch_mean():
    module, teacher = at_step(make(), 0), outputs(2)
    module.criterion.center += 1.0
    module.loss(teacher, outputs(4, seed=1))
    expected = 0.9 * torch.ones(K) + 0.1 * torch.cat(teacher).mean(0)
    torch.testing.assert_close(module.criterion.center.flatten(), expected)


def test_teacher_starts_as_the_student_and_follows_it():
    module = make()
    pairs = [(module.teacher, module.student), (module.teacher_head, module.student_head)]
    for slow, fast in pairs:
        assert all(
            torch.equal(a, b) for a, b in zip(slow.parameters(), fast.parameters(), strict=True))
        assert not any(p.requires_grad for p in slow.parameters())
    with torch.no_grad():
        for _, fast in pairs:
            for parameter in fast.parameters():
                parameter.add_(1.0)
    module.update_teacher(0.9)
    for slow, fast in pairs:
        for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
            torch.testing.assert_close(a, b - 0.9, atol=1e-6, rtol=1e-5)


def test_only_the_student_learns_from_the_loss():
    module = at_step(make(), 0)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    module.training_step((images, None), 0).backward()
    assert all(p.grad is None
               for part in (module.teacher, module.teacher_head)
               for p in part.parameters())
    assert all(p.grad is not None for p in module.student.parameters())


@pytest.fixture(scope="module", params=["resnet50", "vit_tiny", "vit_small"])
def stepped(request):
    """A module after the gradients of a step on two sizes of views, its loss, and the sides each
    encoder saw."""
    torch.manual_seed(0)
    encoder = build(request.param, image_size=32)
    patch = encoder.patch_size if encoder.patch_size > 1 else 8
    crops = multicrop_for("my/folder", 32, step=patch, local_crops=2)
    numbers = recipe(batch_norm=request.param == "resnet50")
    module = at_step(DINO(encoder, crops, numbers), 0).train()
    seen = {"teacher": [], "student": []}
    for name, part in (("teacher", module.teacher), ("student", module.student)):
        part.register_forward_pre_hook(
            lambda _, inputs, name=name: seen[name].append(tuple(inputs[0].shape)))
    loss = module.training_step((torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8), None), 0)
    loss.backward()
    return module, loss, seen


def test_a_step_of_large_encoders_has_a_finite_loss(stepped):
    assert stepped[1].isfinite() and stepped[1] > 0


def test_a_step_sends_gradients_to_all_of_a_large_student(stepped):
    module = stepped[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.student.parameters())
    assert all(p.grad.abs().max() > 0 for p in module.student.parameters() if p.dim() > 1)


def test_a_step_sends_no_gradient_to_a_large_teacher(stepped):
    assert all(p.grad is None
               for part in (stepped[0].teacher, stepped[0].teacher_head)
               for p in part.parameters())


def test_a_large_teacher_sees_global_crops_and_its_student_the_local_ones_too(stepped):
    module, _, seen = stepped
    side = module.crops.local.size
    assert side < 32 and seen == {
        "teacher": [(6, 3, 32, 32)], "student": [(6, 3, 32, 32), (6, 3, side, side)]
    }


def test_student_crops_are_compared_with_the_other_crops_of_the_same_image():
    """With views that change nothing, all views of an image agree: the loss is that of one pair."""
    crops = MultiCrop(CleanView(), CleanView(), CleanView(), local_crops=3)
    module = at_step(make(encoder="vit_digits", crops=crops).eval(), 0)
    images = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    z = module.student_head(module.student(images / 127.5 - 1))
    expected = -((z / 0.04).softmax(1) * (z / 0.1).log_softmax(1)).sum(1).mean()
    assert module.training_step((images, None),
                                0).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("step,expected", [(0, 0.04), (15, 0.055), (30, 0.07), (99, 0.07)])
def test_teacher_temperature_warms_up_linearly(step, expected):
    assert make(steps=100).teacher_temperature(step) == pytest.approx(expected)


def test_momentum_and_weight_decay_follow_half_cosines():
    module = make(steps=101, ema=0.9, weight_decay=(0.04, 0.4))
    assert module.target_momentum(0) == pytest.approx(0.9) and module.target_momentum(
        101) == pytest.approx(1.0)
    assert (module.decay(0), module.decay(50), module.decay(100)) == pytest.approx(
        (0.04, 0.22, 0.4))
    quarter = 0.04 + 0.36 * (1 - math.cos(math.pi / 4)) / 2
    assert module.decay(25) == pytest.approx(quarter)


def test_each_gradient_is_clipped_by_itself():
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad, parameters[1].grad = torch.tensor([30.0, 40.0]), torch.tensor([0.3, 0.4])
    clip_each(parameters, 3.0)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([1.8, 2.4]))
    assert parameters[1].grad.tolist() == pytest.approx([0.3, 0.4]) and parameters[2].grad is None


def test_clipping_all_in_one_call_gives_the_numbers_of_one_by_one():
    module = make()
    for number, parameter in enumerate(module.parameters()):
        parameter.grad = torch.randn_like(parameter) * (number % 7)
    expected = [(gradient := parameter.grad) * (3.0 / (gradient.norm() + 1e-6)).clamp(max=1.0)
                for parameter in module.parameters()]
    clip_each(module.parameters(), 3.0)
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_last_layer_stays_frozen_at_first_and_only_weights_decay(digits):
    module = make(steps=8, frozen_steps=4, weight_decay=(0.1, 0.3))
    before = copy.deepcopy(module.student_head.state_dict())
    seen = fit_and_note(module, BatchLoader(digits, None, batch_size=16, steps=8), lambda: (
        module.student_head.last_layer.weight_v.detach().clone(),
        [group["weight_decay"] for group in module.optimizers().param_groups]))
    assert torch.equal(seen[3][0],
                       before["last_layer.weight_v"]) and not torch.equal(seen[4][0], seen[3][0])
    assert seen[0][1] == pytest.approx([0.1, 0.0]) and seen[7][1] == pytest.approx([0.3, 0.0])
    # stays 1
    assert torch.equal(module.student_head.last_layer.weight_g, before["last_layer.weight_g"])


@pytest.mark.parametrize(("images", "steps", "frozen"), [
    (640, 40, 10), (6400, 40, 20), (6400, 150, 75), (6400, 1000, 100), (40, 40, 1), (640, 1, 0)])
def test_the_last_layer_is_trained_even_in_less_than_an_epoch(images, steps, frozen):
    settings = Settings.resolve(dataset="digits", preset="smoke", device="cpu", dino_steps=steps)
    recipe = recipe_for("dino", settings)
    assert (recipe.frozen_epochs, recipe.steps) == (1, steps)
    module = build_method(recipe, build("slim", channels=1, image_size=16), settings, images / 64)
    assert module.student_head.freeze_last_layer == frozen


def test_collapse_metrics_tell_both_collapses_from_health():
    uniform = torch.full((2, 6, K), 1 / K)
    one = F.one_hot(torch.zeros(2, 6, dtype=torch.long), K).float()
    healthy = F.one_hot(torch.arange(6).repeat(2, 1), K).float()
    zero = torch.zeros(())
    flat, narrow, good = (collapse_metrics(outputs, zero) for outputs in (uniform, one, healthy))
    assert flat["entropy"].item() == pytest.approx(
        math.log(K)) and flat["variety"].item() == pytest.approx(math.log(K))
    assert flat["uniform"].item() == pytest.approx(math.log(K))
    assert narrow["entropy"].item() == 0 and narrow["variety"].item() == 0
    assert good["entropy"].item() == 0 and good["variety"].item() == pytest.approx(math.log(6))


def test_kl_is_what_the_student_lacks():
    module, teacher, student = at_step(make(), 0), outputs(2), outputs(2, seed=1)
    module.loss(teacher, student)
    kl = sum(
        F.kl_div((student[j] / 0.1).log_softmax(1), (teacher[i]
                                                     / 0.04).softmax(1), reduction="batchmean")
        for i, j in ((0, 1), (1, 0))) / 2
    assert module.collapse_metrics["kl"].item() == pytest.approx(kl.item(), rel=1e-4)


@pytest.mark.parametrize("encoder", ["vit_digits", "slim"])
def test_a_few_steps_teach_the_student_the_teachers_outputs(digits, encoder):
    crops = MultiCrop(CleanView(), CleanView(), LocalCrop(CleanView(), 8, (0.5, 1.0)), 2)
    module = make(steps=40, encoder=encoder, crops=crops, lr=5e-3, ema=1.0,
                  batch_norm=encoder == "slim")
    before = {name: value.clone() for name, value in module.teacher.named_parameters()}
    kl = fit_and_note(module, BatchLoader(digits, None, batch_size=32, steps=40),
                      lambda: module.collapse_metrics["kl"].item())
    assert sum(kl[-5:]) < 0.8 * max(sum(kl[i:i + 5]) for i in range(10))
    # a momentum of 1 holds the teacher where it was
    for name, value in module.teacher.named_parameters():
        assert torch.equal(value, before[name])


def test_schedules_are_plain_numbers_that_a_checkpoint_can_hold():
    module = make(steps=8)
    assert {
        type(schedule(3))
        for schedule in (module.decay, module.target_momentum, module.teacher_temperature)
    } == {float}


def test_a_resumed_training_ends_as_an_uninterrupted_one(digits, tmp_path):
    def train(steps_now, folder, resume=False):
        module = make(steps=8, frozen_steps=2)
        loader = BatchLoader(digits, None, batch_size=16, steps=8)
        loader.steps = steps_now
        losses = fit(module, loader, folder=folder, resume=resume).losses
        return module, losses

    whole, losses = train(8, tmp_path / "whole")
    train(5, tmp_path / "cut")
    resumed, again = train(8, tmp_path / "cut", resume=True)
    assert again == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
