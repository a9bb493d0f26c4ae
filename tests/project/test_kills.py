"""The comparison of killed trainings with a whole one, once; `python -m benchmarks.kills` does it
often."""

from collections import Counter

import torch

from benchmarks import kills


def test_a_kill_and_a_resume_are_counted_and_other_weights_are_told(tmp_path, monkeypatch):
    whole = {"weight": torch.ones(2)}
    results = iter([whole, whole, {"weight": torch.zeros(2)}])
    monkeypatch.setattr(kills, "killed", lambda *_: "kills between saves")
    monkeypatch.setattr(kills, "ended", lambda *_: next(results))
    count = kills.compare("byol", 2, 0, None, tmp_path)
    assert count.pop("kills between saves") >= 6
    assert count == Counter({"the same weights": 1, "OTHER WEIGHTS": 1})
