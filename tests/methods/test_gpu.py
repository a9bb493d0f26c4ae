"""What a GPU would see, without one: torch's fake tensors say on which device each operation runs.

A tensor that is made on the host and copied, or a value that is read back, makes the host wait
until the GPU has done all it was given: the GPU then idles while the hundreds of kernels of the
next step are launched. (In fp16, on GPUs without bf16, the scaler of DINO's gradients reads one
number a step, which is not seen here.)
"""

import itertools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.common.names import METHODS
from helpers.evaluation.features import extract_features, half_on_gpu, outputs
from helpers.methods.build import build_method
from helpers.methods.classifier import Classifier, linear_head
from helpers.methods.dino import clip_each
from helpers.methods.presets import recipe_for
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import build
from helpers.settings import Settings
from helpers.training.loader import BatchLoader
from helpers.transforms import views
from helpers.transforms.corruptions import CORRUPTIONS, SEVERITIES
from helpers.transforms.functional import working_type
from helpers.transforms.views import PhotoView, view_for

ENCODERS = {"resnet18": 96, "vit_tiny": 96, "slim": 48}
GPU = torch.device("cuda", 0)


class Calls(TorchDispatchMode):
    """Notes which operations are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function.overloadpacket))
        return function(*args, **(kwargs or {}))


class Transfers(TorchDispatchMode):
    """Counts copies between host and GPU that make the host wait; scalars that go along with a
    kernel do not."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        before, after = ({
            leaf.device.type
            for leaf in tree_leaves(tree)
            if isinstance(leaf, torch.Tensor)
        }
                         for tree in ((args, kwargs), result))
        copied = before and after and before != after and {"cpu", "cuda"} == before | after
        if copied and "copy" in str(function) and not (kwargs or {}).get("non_blocking"):
            self.waits.append(str(function))
        return result


@pytest.fixture
def gpu(monkeypatch):
    """Inside, tensors are fake: they have shapes and devices and no values; reading one raises."""
    # the host's
    monkeypatch.setattr(torch, "randperm",
                        lambda n, **_: SimpleNamespace(tolist=lambda: list(range(n))))
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def moved(module):
    """A module's parameters and buffers on the GPU, as `fit` lays them."""
    layouts = {4: torch.channels_last}
    return module._apply(
        lambda t: torch.empty(t.shape, dtype=t.dtype, device=GPU, memory_format=layouts.get(
            t.ndim, torch.contiguous_format)))


def images(size):
    return torch.empty(8, 3, size, size, dtype=torch.uint8, device=GPU)


def made(method, encoder):
    """A learner of the full preset for photographs."""
    settings = Settings.resolve(dataset="stl10", device="cpu", preset="full", encoder=encoder,
                                image_size=ENCODERS[encoder])
    network = build(encoder, channels=3, image_size=ENCODERS[encoder])
    return build_method(recipe_for(method, settings), network, settings, 100.0)


def test_a_copy_from_the_host_and_a_value_that_is_read_are_noticed(gpu):
    x = torch.empty(4, device=GPU)
    with Transfers() as seen:
        x * x.new_tensor([1.0, 2.0, 3.0, 4.0])
        torch.ones(4).to(GPU, non_blocking=True)
        x / torch.tensor(2.0)
    assert len(seen.waits) == 1
    with pytest.raises(Exception, match="_local_scalar_dense"):
        x.sum().item()
    with pytest.raises(RuntimeError, match="device"):
        x + torch.ones(4)


@pytest.fixture
def learner(method, encoder):
    """It comes before `gpu`, while tensors are real."""
    return made(method, encoder)


@pytest.mark.parametrize("method,encoder", itertools.product(METHODS, ENCODERS))
def test_a_step_of_pretraining_never_waits_for_the_host(
        method, encoder, learner, gpu, monkeypatch):
    module = moved(learner)
    monkeypatch.setattr(type(module), "global_step", 10)
    with Transfers() as seen:
        loss = module.training_step((images(ENCODERS[encoder]), None), 0)
    assert loss.device == GPU and seen.waits == []
    # there is no backward pass over fake tensors without a real GPU
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    optimizer = module.configure_optimizers()["optimizer"]
    with Transfers() as seen:
        if method == "dino":
            clip_each(module.parameters(), 3.0)
        optimizer.step()
        (module.update_teacher if method == "dino" else module.update_target)(0.99)
    assert seen.waits == []


@pytest.fixture
def dino():
    return made("dino", "resnet18")


@pytest.mark.parametrize("scaler", [None, "of fp16"])
def test_the_update_of_dino_takes_a_few_calls_and_not_some_for_each_tensor(scaler, dino, gpu):
    """fp16's gradients are scaled, which the fused update would hide from clipping."""
    module = moved(dino)
    module._trainer = SimpleNamespace(scaler=scaler)
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
    optimizer = module.configure_optimizers()["optimizer"]
    with Calls() as clipping:
        clip_each(module.parameters(), 3.0)
    optimizer.step()  # the first one makes the averages
    with Calls() as update:
        optimizer.step()
    tensors = sum(len(group["params"]) for group in optimizer.param_groups)
    assert len(clipping.names) < tensors + 12  # it was six for each
    assert ("aten._fused_adamw_" in update.names) is (scaler is None)
    called = [name for name in update.names if name.startswith("aten.")]
    assert len(called) < (20 if scaler is None else 3 * tensors)  # it was nine for each


@pytest.fixture
def classifier():
    """One for each test: of a network that was moved once, something may hold on to the weights."""
    return Classifier(build("resnet18", channels=3, image_size=96), linear_head(512, 10),
                      view_for("stl10", 96), ClassifierRecipe(steps=9))


def test_a_step_with_labels_never_waits_for_the_host(classifier, gpu):
    with Transfers() as seen:
        loss = moved(classifier).training_step(
            (images(96), torch.zeros(8, dtype=torch.long, device=GPU)), 0)
    assert loss.device == GPU and seen.waits == []


def test_batches_are_picked_on_the_gpu_without_waiting(gpu, monkeypatch):
    monkeypatch.setattr(BatchLoader, "indices", lambda self, step: torch.arange(8))
    loader = BatchLoader(torch.empty(40, 3, 16, 16, dtype=torch.uint8), None, batch_size=8, steps=3,
                         device="cuda", on_host=False)
    batches = iter(loader)
    assert all(part.device == GPU for part in next(batches))  # the first one moves all images
    with Transfers() as seen:
        assert all(part.device == GPU for batch in batches for part in batch)
    assert seen.waits == []


# which says that it works on the host
@pytest.mark.parametrize("kind", [kind for kind in CORRUPTIONS if kind != "JPEG"])
def test_damage_is_done_on_the_gpu(kind, gpu):
    with Transfers() as seen:
        assert CORRUPTIONS[kind](torch.empty(8, 3, 32, 32, device=GPU), SEVERITIES[kind][2],
                            None).device == GPU
    assert seen.waits == []


def test_features_are_taken_on_the_gpu_and_come_back(classifier, gpu):
    encoder = moved(classifier.encoder)
    # extract_features looks at the values of these once more, which fake tensors do not have
    assert outputs(encoder, torch.empty(20, 3, 96, 96, dtype=torch.uint8), 8).device.type == "cpu"


def test_features_are_taken_in_fp16_on_a_gpu_and_in_fp32_on_a_cpu(classifier, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda *kind: asked.append(kind) or nullcontext())
    with half_on_gpu(GPU):
        assert asked == [("cuda", torch.float16)]
    extract_features(classifier.encoder, torch.zeros(2, 3, 96, 96, dtype=torch.uint8))
    assert len(asked) == 1


def test_views_are_made_in_fp16_on_a_gpu_that_trains_in_half_precision(monkeypatch):
    for half in (True, False):
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda half=half: half)
        assert working_type(GPU) == (torch.float16 if half else torch.float32)
        assert working_type(torch.device("cpu")) == torch.float32


def test_a_view_in_fp16_is_the_view_of_fp32_to_a_gray_level(monkeypatch):
    view, made = PhotoView(size=40, blur=0.5, solarize=0.2, noise=0.0), {}
    smooth = torch.nn.functional.interpolate(torch.rand(32, 3, 6, 6), 48, mode="bicubic")
    for kind in (torch.float32, torch.float16):
        monkeypatch.setattr(views, "working_type", lambda device, kind=kind: kind)
        torch.manual_seed(0)
        made[kind] = view((smooth.clamp(0, 1) * 255).byte())
    assert made[torch.float16].dtype == torch.float16
    levels = (made[torch.float16].float() - made[torch.float32]).abs() * 127.5
    solarized = levels > 20  # a gray at the threshold may fall on either side
    assert levels.isfinite().all() and solarized.float().mean() < 1e-3
    assert levels[~solarized].mean() < 0.2 and levels[~solarized].max() < 3
