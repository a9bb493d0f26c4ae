"""What the cards of the kept weights say is what the files and the list say."""

import pytest

from helpers.models.weights import registry
from helpers.models.weights.checkpoint import load_encoder

KEPT = {name: entry for name, entry in registry.entries().items() if registry.kept(entry)}


@pytest.mark.parametrize("name", KEPT)
def test_a_card_has_the_facts_of_the_file(name):
    entry = KEPT[name]
    encoder = load_encoder(registry.kept(entry))
    card = (registry.MANIFEST.parent / f"{name}.md").read_text(encoding="utf-8")
    size = "{0} x {1} x {1}".format(encoder.config["channels"], encoder.config["image_size"])
    weights = round(sum(p.numel() for p in encoder.parameters()) / 1000)
    for fact in (entry.command, f"{entry.bytes:,} bytes", entry.sha256[:8], size,
                 f"{encoder.num_features} features", f"{weights} thousand weights",
                 f"{encoder.meta['steps']:,} steps"):
        assert fact in card, fact
    for heading in ("| data |", "| recipe |", "| licence |", "**Numbers**", "**Limits**"):
        assert heading in card, heading


@pytest.mark.parametrize("name", KEPT)
def test_a_card_has_the_numbers_of_the_list(name):
    card = (registry.MANIFEST.parent / f"{name}.md").read_text(encoding="utf-8")
    for protocol, value in KEPT[name].accuracy.items():
        assert f"{100 * value:.1f}" in card, protocol
    assert name in (registry.MANIFEST.parent / "README.md").read_text(encoding="utf-8")
