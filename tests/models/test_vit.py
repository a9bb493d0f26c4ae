"""The ViT against torchvision's, against arithmetic done by hand, and against its paper."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from helpers.common.errors import UserError
from helpers.evaluation.attention import attention_rollout
from helpers.models.vit import (
    PRESETS,
    ViT,
    build_vit,
    default_patch_size,
    interpolate_positions,
)
from helpers.models.weights.layouts import load_torchvision

SIZES = {"image_size": 32, "patch_size": 8, "width": 48, "depth": 3, "heads": 4}


def small(**options) -> ViT:
    torch.manual_seed(0)
    return ViT(**SIZES | options).eval()


def some_images(count: int = 3, channels: int = 3, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, size, size, generator=generator) * 2 - 1


def torchvision_peer(num_classes: int = 7, **options) -> VisionTransformer:
    """A small torchvision ViT whose every tensor is random, biases and head too."""
    torch.manual_seed(2)
    sizes = {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 4, "hidden_dim": 48,
             "mlp_dim": 192}
    peer = VisionTransformer(**sizes | options, num_classes=num_classes).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.2)
    return peer


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", [16, 48])
def test_another_image_size_is_read_with_stretched_positions(size):
    model = small()
    built = small(image_size=size)
    state = model.state_dict() | {
        "positions": interpolate_positions(model.positions.detach(), 4, size // 8)
    }
    built.load_state_dict(state)
    torch.testing.assert_close(model(some_images(size=size)), built(some_images(size=size)))
    model(some_images(size=size)).sum().backward()
    assert model.positions.grad.abs().min() > 0 or size < 32


def test_vit_base_at_224_px_with_1000_classes_has_the_papers_parameter_count():
    with torch.device("meta"):
        model = build_vit("vit_base", 224, patch_size=16, num_classes=1000)
    assert parameters(model) == 86_567_656


def test_outputs_equal_torchvisions_with_the_same_weights():
    peer = torchvision_peer()
    ours = load_torchvision(small(num_classes=7), peer.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(some_images()), peer(some_images()), atol=1e-5, rtol=1e-5)


def test_gradients_equal_torchvisions_with_the_same_weights():
    peer = torchvision_peer()
    ours = load_torchvision(small(num_classes=7), peer.state_dict())
    labels = torch.tensor([0, 3, 6])
    for model in (peer, ours):
        nn.functional.cross_entropy(model(some_images()), labels).backward()
    torch.testing.assert_close(ours.patches.weight.grad, peer.conv_proj.weight.grad, atol=1e-5,
                               rtol=1e-4)


def test_torchvisions_older_names_of_the_mlp_load_too():
    peer = torchvision_peer()
    older = {name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
             for name, value in peer.state_dict().items()}
    ours = load_torchvision(small(num_classes=7), older)
    assert torch.equal(ours.blocks[2].mlp[3].weight, peer.encoder.layers[2].mlp[3].weight)


def test_loading_into_a_vit_without_head_gives_the_features_before_torchvisions_head():
    peer = torchvision_peer()
    ours = load_torchvision(small(), peer.state_dict())
    head = peer.heads.head
    with torch.no_grad():
        torch.testing.assert_close(head(ours(some_images())), peer(some_images()), atol=1e-5,
                                   rtol=1e-5)


def test_loading_weights_of_another_width_is_one_line_that_names_a_tensor():
    with pytest.raises(UserError, match="do not fit this ViT.*class_token") as error:
        load_torchvision(small(num_classes=7), torchvision_peer(hidden_dim=96).state_dict())
    assert "\n" not in str(error.value)


def test_loading_weights_of_more_blocks_fails_and_leaves_the_model_as_it_was():
    model = small(num_classes=7)
    before = model.class_token.clone()
    with pytest.raises(UserError, match="do not fit this ViT"):
        load_torchvision(model, torchvision_peer(num_layers=4).state_dict())
    assert torch.equal(model.class_token, before)


def test_loading_at_another_image_size_interpolates_the_positions():
    peer = torchvision_peer()
    ours = load_torchvision(small(image_size=48, num_classes=7), peer.state_dict())
    larger = interpolate_embeddings(image_size=48, patch_size=8, model_state=peer.state_dict())
    torch.testing.assert_close(ours.positions.data, larger["encoder.pos_embedding"])


def test_attention_maps_equal_a_softmax_computed_by_hand():
    model = small(depth=1)
    attention = model.blocks[0].attention
    nn.init.normal_(attention.qkv.weight, std=0.2)
    (maps,) = model.attention_maps(some_images(1))
    tokens = model.blocks[0].norm1(model.embed(some_images(1)))[0]              # T, W
    size = 48 // 4
    for head in range(4):
        rows = slice(head * size, (head + 1) * size)
        query = tokens @ attention.qkv.weight[:48][rows].T + attention.qkv.bias[:48][rows]
        key = tokens @ attention.qkv.weight[48:96][rows].T + attention.qkv.bias[48:96][rows]
        scores = (query @ key.T / math.sqrt(size)).exp()
        torch.testing.assert_close(maps[0, head], scores / scores.sum(1, keepdim=True), atol=1e-5,
                                   rtol=1e-4)


def test_attention_maps_equal_those_of_torch_multihead_attention():
    model = small()
    attention = model.blocks[0].attention
    peer = nn.MultiheadAttention(48, 4, batch_first=True)
    peer.in_proj_weight.data = attention.qkv.weight.data
    peer.in_proj_bias.data = attention.qkv.bias.data
    tokens = model.blocks[0].norm1(model.embed(some_images()))
    _, weights = peer(tokens, tokens, tokens, average_attn_weights=False)
    torch.testing.assert_close(model.attention_maps(some_images())[0], weights)


def test_the_fused_kernel_and_the_explicit_softmax_give_the_same_tokens():
    model = small()
    fused, explicit = model.tokens(some_images()), model.tokens(some_images(), maps=[])
    torch.testing.assert_close(fused, explicit, atol=1e-5, rtol=1e-5)


def test_the_fused_kernel_is_used_only_when_no_maps_are_asked_for(monkeypatch):
    fused = nn.functional.scaled_dot_product_attention
    calls = []
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention",
                        lambda *args, **options: calls.append(1) or fused(*args, **options))
    small()(some_images())
    small().attention_maps(some_images())
    assert len(calls) == SIZES["depth"]


def test_layers_are_the_embedding_each_block_and_the_final_norm():
    model = small()
    states = model.layers(some_images())
    assert len(states) == SIZES["depth"] + 2
    torch.testing.assert_close(states[0], model.embed(some_images()))
    torch.testing.assert_close(states[2], model.blocks[1](states[1]))
    torch.testing.assert_close(states[-1], model.tokens(some_images()))


def test_features_are_the_class_token_and_logits_its_linear_map():
    model = small(num_classes=5)
    first = model.tokens(some_images())[:, 0]
    torch.testing.assert_close(model(some_images()), model.head(first))
    torch.testing.assert_close(small()(some_images()), small().tokens(some_images())[:, 0])


def test_a_token_is_the_linear_map_of_its_own_patch():
    model = small()
    images = some_images(1)
    patch = images[0, :, 8:16, 24:32]                                        # row 1, column 3
    expected = model.patches.weight.flatten(
        1) @ patch.flatten() + model.patches.bias + model.positions[0, 8]
    torch.testing.assert_close(model.embed(images)[0, 8], expected, atol=1e-5, rtol=1e-4)


def test_every_token_is_normalised_over_its_features():
    final = small().tokens(some_images())
    torch.testing.assert_close(final.mean(-1), torch.zeros(3, 17), atol=1e-5, rtol=0)
    torch.testing.assert_close(final.std(-1, unbiased=False), torch.ones(3, 17), atol=1e-3, rtol=0)


def test_the_mlp_ends_without_an_activation():
    model = small()
    nn.init.constant_(model.blocks[0].mlp[3].bias, -5.0)
    # a GELU never goes below -0.17
    assert model.blocks[0].mlp(model.embed(some_images())).min() < -4


def test_dropout_does_nothing_in_eval_mode_and_something_in_training():
    model = small(dropout=0.3)
    torch.testing.assert_close(model(some_images()), small()(some_images()))
    model.train()
    assert not torch.allclose(model(some_images()), model(some_images()))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_features_of_its_width(name):
    model = build_vit(name, 32, channels=1, depth=1)
    features = model(some_images(2, channels=1))
    assert features.shape == (2, PRESETS[name]["width"]) == (2, model.num_features)


@pytest.mark.parametrize(("size", "patch"),
                         [(16, 4), (28, 4), (32, 4), (64, 8), (96, 8), (128, 16), (224, 16)])
def test_the_default_patch_is_near_the_root_of_the_image(size, patch):
    assert default_patch_size(size) == patch


@pytest.mark.parametrize(("build", "message"), [
    (lambda: small(patch_size=7), "image_size 32 is not a multiple of patch_size 7"),
    (lambda: small(heads=5), "width 48 is not a multiple of heads 5"),
    (lambda: build_vit("vit_huge", 32), "no ViT is called 'vit_huge'; choose one of vit_tiny"),
    (lambda: build_vit("vit_tiny", 17), "no patch size cuts 17 px"),
    (lambda: small()
     (some_images(size=36)), "3 x 32 x 32 or another multiple of 8, not 3 x 36 x 36"),
    (lambda: small()(some_images()[..., :24]), "not 3 x 32 x 24"),
    (lambda: small()
     (some_images(channels=1)), "3 x 32 x 32 or another multiple of 8, not 1 x 32 x 32"),
])
def test_sizes_that_do_not_fit_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_positions_follow_torchvisions_interpolation():
    state = {
        "encoder.pos_embedding": torch.randn(1, 17, 48, generator=torch.Generator().manual_seed(0))
    }
    theirs = interpolate_embeddings(image_size=48, patch_size=8, model_state=dict(state))
    ours = interpolate_positions(state["encoder.pos_embedding"], 4, 6)
    torch.testing.assert_close(ours, theirs["encoder.pos_embedding"])


def test_positions_of_the_same_grid_are_left_alone():
    positions = torch.randn(1, 17, 8)
    assert torch.equal(interpolate_positions(positions, 4, 4), positions)


def test_positions_that_do_not_match_their_grid_are_refused():
    with pytest.raises(ValueError, match="18 positions do not make a class token and a grid of 4"):
        interpolate_positions(torch.zeros(1, 18, 8), 4, 6)


def test_rollout_of_tokens_that_only_look_at_themselves_is_the_identity():
    maps = [torch.eye(5).expand(2, 3, 5, 5)] * 4
    torch.testing.assert_close(attention_rollout(maps), torch.eye(5).expand(2, 5, 5))


def test_rollout_multiplies_the_later_block_from_the_left():
    first, second = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    rollout = attention_rollout([first[None, None], second[None, None]])[0]
    # block 1: token 0 keeps half of itself, takes half of token 1; block 2: token 1 takes half of
    # token 0
    torch.testing.assert_close(rollout, torch.tensor([[0.5, 0.5], [0.25, 0.75]]))


def test_rollout_rows_of_a_real_model_sum_to_one():
    rollout = attention_rollout(small().attention_maps(some_images()))
    torch.testing.assert_close(rollout.sum(-1), torch.ones(3, 17))
