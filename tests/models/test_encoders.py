"""Encoders by name: rebuilt from their configuration, equal to torchvision's, and counted."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms import Normalize

from helpers.common.errors import UserError
from helpers.common.names import ENCODERS
from helpers.models.encoder import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, build
from helpers.models.few_pixels import FEW, FewPixelsConv2d
from helpers.models.slim import ResidualBlock


def weights(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def images(channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_settings_name_every_encoder():
    assert set(ENCODERS) == set(BACKBONES)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["slim", "slim_fine", "slim_deep", "slim_joined", "resnet18",
                                  "mobilenet_v3_small", "efficientnet_b0", "vit_tiny",
                                  "vit_digits"])
def test_an_encoder_turns_images_into_num_features_numbers(name, channels):
    encoder = build(name, channels=channels, image_size=16).eval()
    with torch.inference_mode():
        assert encoder(images(channels, 16)).shape == (2, encoder.num_features)
    assert encoder.name == name


@pytest.mark.parametrize("name,options", [("slim", {"width": 8}), ("resnet18", {"stem": "small"}),
                                          ("vit_digits", {"patch_size": 8})])
def test_an_encoder_is_rebuilt_from_its_config(name, options):
    first = build(name, channels=1, image_size=16, **options).eval()
    again = build(**first.config).eval()
    again.load_state_dict(first.state_dict())
    with torch.inference_mode():
        assert torch.equal(first(images(1, 16)), again(images(1, 16)))
    assert again.config == first.config


def test_an_unknown_encoder_is_one_line_that_lists_the_known_ones():
    with pytest.raises(UserError, match="vgg.*resnet18") as error:
        build("vgg")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name,count", [("resnet18", 512), ("resnet50", 2048)])
def test_resnet_features_with_the_imagenet_stem_are_torchvisions(name, count):
    torch.manual_seed(0)
    peer = getattr(models, name)(weights=None).eval()
    encoder = build(name, image_size=32, stem="imagenet").eval()
    encoder.backbone.load_state_dict(
        {k: v
         for k, v in peer.state_dict().items()
         if not k.startswith("fc.")})
    peer.fc = nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images()), peer(images()))
    assert encoder.num_features == count


@pytest.mark.parametrize("height,width,kernel,stride", [(3, 3, 3, 1), (6, 8, 3, 2), (4, 4, 3, 1),
                                                        (5, 2, 3, 1), (8, 7, 1, 2), (1, 1, 3, 1),
                                                        (9, 9, 3, 1)])
def test_a_product_of_matrices_is_the_convolution(height, width, kernel, stride):
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, kernel, stride, kernel // 2, bias=False).double()
    quick = FewPixelsConv2d(5, 7, kernel, stride, kernel // 2, bias=False).double()
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, height, width, dtype=torch.float64)
    first, second = (x.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
                     for _ in range(2))
    expected, result = plain(first), quick(second)
    weights = torch.randn_like(expected)
    for output in (expected, result):
        (output * weights).sum().backward()
    for ours, theirs in ((result, expected), (second.grad, first.grad), (quick.weight.grad,
                                                                         plain.weight.grad)):
        torch.testing.assert_close(ours, theirs)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_the_product_is_taken_in_training_and_for_few_pixels_only(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.Tensor, "index_select",
                        lambda *a: taken.append(a) or torch.index_select(*a))
    convolution, few = FewPixelsConv2d(2, 2, 3, padding=1, bias=False), int(FEW ** 0.5)
    convolution(torch.zeros(1, 2, few + 1, few + 1))
    convolution.eval()(torch.zeros(1, 2, few, few))
    assert not taken
    convolution.train()(torch.zeros(1, 2, few, few))
    assert taken


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_training_resnet_is_torchvisions(name):
    torch.manual_seed(0)
    peer, encoder = getattr(models, name)(weights=None).double(), build(name,
                                                                        image_size=96).double()
    encoder.backbone.load_state_dict(
        {k: v
         for k, v in peer.state_dict().items()
         if not k.startswith("fc.")})
    peer.fc = nn.Identity()
    x = images(size=96).double()
    torch.testing.assert_close(encoder(x), peer(x))


@pytest.mark.parametrize("size,kernel,stride", [(16, 3, 1), (32, 3, 1), (64, 3, 1), (65, 7, 2),
                                                (96, 7, 2)])
def test_images_up_to_64_pixels_get_the_small_stem(size, kernel, stride):
    backbone = build("resnet18", image_size=size).backbone
    assert (backbone.conv1.kernel_size[0], backbone.conv1.stride[0]) == (kernel, stride)
    assert isinstance(backbone.maxpool, nn.Identity) == (kernel == 3)


def test_a_stem_that_is_asked_for_wins_over_the_image_size():
    assert build("resnet18", image_size=32, stem="imagenet").backbone.conv1.kernel_size == (7, 7)
    assert build("resnet18", image_size=96, stem="small").backbone.conv1.kernel_size == (3, 3)


@pytest.mark.parametrize("size,scale", [(32, 1), (96, 4)])
def test_the_small_stem_keeps_the_resolution_that_the_imagenet_stem_quarters(size, scale):
    backbone = build("resnet18", image_size=size).backbone.eval()
    with torch.inference_mode():
        x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images(3, size)))))
    assert x.shape == (2, 64, size // scale, size // scale)


def test_an_unknown_stem_is_refused():
    with pytest.raises(UserError, match="stem must be"):
        build("resnet18", stem="huge")


@pytest.mark.parametrize("side", [1, 17, 97, 127])
def test_sides_that_no_patch_divides_are_one_line_that_names_others(side):
    with pytest.raises(UserError, match=f"no patch size cuts {side} px .* to 32 or 96 px"):
        build("vit_tiny", image_size=side)


def test_slim_has_173_thousand_weights():
    assert weights(build("slim", channels=1, image_size=16)) == 173_496


def test_slims_weights_are_those_of_its_layers_added_by_hand():
    def block(inputs, outputs):  # two 3x3 and one 1x1 convolution, three normalisations
        return 9 * inputs * outputs + 9 * outputs**2 + inputs * outputs + 6 * outputs

    assert weights(build("slim", channels=3, image_size=16, width=8)) == \
        9 * 3 * 8 + 2 * 8 + block(8, 8) + block(8, 16) + block(16, 32)


def test_slim_fine_has_a_stem_of_36_pixels_and_one_block_more_than_slim():
    slim, fine = (weights(build(name, image_size=96)) for name in ("slim", "slim_fine"))
    assert fine - slim == (36 - 9) * 3 * 32 + 9 * 128 * 256 + 9 * 256**2 + 128 * 256 + 6 * 256


def test_slim_deep_has_two_blocks_in_every_stage_but_the_first():
    fine, deep = (weights(build(name, image_size=96)) for name in ("slim_fine", "slim_deep"))
    assert deep - fine == sum(2 * 9 * width**2 + 4 * width for width in (64, 128, 256))


def test_an_encoder_that_takes_any_side_resizes_nothing_and_is_rebuilt_so():
    encoder = build("slim", image_size=48, input_size=48).eval()
    seen = []
    stem = encoder.backbone.stem
    stem.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    encoder(images())
    encoder.take_views_of(64)  # which views are enlarged from
    encoder(images())
    encoder.take_views_of(48)
    encoder(images())
    assert seen == [48, 48, 32] and build(**encoder.config).input_size is None
    vit = build("vit_tiny", image_size=48, input_size=48)
    vit.take_views_of(48)
    assert vit.input_size == 48


def test_a_residual_block_halves_the_image_and_adds_its_shortcut():
    block = ResidualBlock(3, 5).eval()
    with torch.inference_mode():
        assert block(images()).shape == (2, 5, 16, 16)
        nn.init.zeros_(block.residual[4].weight)  # the residual branch says nothing now
        torch.testing.assert_close(block(images()), block.shortcut(images()).relu())


@pytest.mark.parametrize("size", [8, 16, 31])
def test_slim_takes_images_of_any_size_from_8_pixels(size):
    with torch.inference_mode():
        assert build("slim", image_size=size)(images(3, size)).shape == (2, 128)
        assert build("slim", channels=1, image_size=size)(images(1, size)).shape == (2, 96)


def test_imagenets_normalisation_is_torchvisions_of_the_same_image():
    x = images()
    expected = Normalize(IMAGENET_MEAN, IMAGENET_STD)((x + 1) / 2)
    torch.testing.assert_close(build("slim", normalisation="imagenet").prepare(x), expected)


def test_symmetric_normalisation_leaves_images_alone():
    assert torch.equal(build("slim").prepare(images()), images())


def test_unit_normalisation_gives_pixels_from_0_to_1():
    x = images()
    torch.testing.assert_close(build("slim", normalisation="unit").prepare(x), (x + 1) / 2)


def test_an_unknown_normalisation_is_one_line():
    with pytest.raises(UserError,
                       match="unknown normalisation 'none': choose symmetric, unit, imagenet"):
        build("slim", normalisation="none")


def test_the_normalisation_is_no_part_of_the_weights():
    assert all(name.startswith("backbone.") for name in build("slim").state_dict())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
@pytest.mark.parametrize("size,side", [(16, 1), (64, 4), (96, 3)])
def test_a_mobile_network_keeps_more_of_small_images(name, size, side):
    encoder = build(name, channels=1, image_size=size).eval()
    with torch.inference_mode():
        assert encoder.backbone.features(torch.zeros(1, 1, size, size)).shape[-1] == side


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_features_of_large_images_by_a_mobile_network_are_torchvisions(name):
    peer = getattr(models, name)(weights=None).eval()
    encoder = build(name, image_size=96)
    encoder.backbone.load_state_dict({k: v for k, v in peer.state_dict().items()
                                      if not k.startswith("classifier")})
    peer.classifier = torch.nn.Identity()
    with torch.inference_mode():
        assert torch.equal(encoder.eval().backbone(images(3, 96)), peer(images(3, 96)))
