"""The race of training steps: nobody starves, warm-ups count no work that was done before."""

from argparse import Namespace

import pytest

from benchmarks import predicting, throughput


def options(**changes):
    return Namespace(**{"method": "byol", "batch": 4, "steps": 3, "size": 32, "device": "cpu",
                        "scale": False, **changes})


@pytest.mark.parametrize("cores", [1, 16])
def test_an_epoch_holds_all_steps_and_the_warm_up_ends_after_the_prefetch(cores, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    clock = throughput.Clock(options(), workers=cores)
    made_before = cores * throughput.PREFETCH
    assert clock.first > made_before and clock.last - clock.first == 3
    assert throughput.images_for(options()) // 4 >= clock.last


def test_only_steps_after_the_warm_up_are_counted():
    clock = throughput.Clock(options(), workers=2)
    clock.times = [100.0 * step for step in range(clock.first)]
    clock.times += [clock.times[-1] + step for step in (1.0, 2.0, 6.0)]
    assert clock.seconds == 2.0


def test_dinos_crops_have_the_sides_and_the_number_of_lightlys():
    images = throughput.photographs(4, 32)
    large, small = throughput.lightly_crops(32)(images)
    theirs = throughput.Images(images.numpy(), 32, throughput.dino_views)[0]
    assert len(theirs) * 4 == len(large) + len(small)
    assert theirs[0].shape == large.shape[1:] and theirs[-1].shape == small.shape[1:]


def test_results_of_another_method_have_a_file_of_their_own():
    names = {throughput.result_name(options(method=method, scale=scale))
             for method in ("byol", "dino", "extract", "predict") for scale in (True, False)}
    assert len(names) == 8 and "throughput-cpu" in names and "scale-cpu" in names


def test_both_dinos_have_the_same_parameters():
    peer = throughput.PeerDINO()
    module = throughput.DINO(throughput.build("resnet18", image_size=96),
                             throughput.lightly_crops(96),
                             throughput.DINORecipe(steps=2, output_dim=throughput.OUTPUTS,
                                                   local_crops=throughput.LOCAL_CROPS))
    sizes = [sum(weight.numel() for weight in each.parameters() if weight.requires_grad)
             for each in (peer, module)]
    assert sizes[0] == sizes[1] > 10**7


def test_a_classifier_goes_through_all_links_to_few_photographs(monkeypatch):
    monkeypatch.setattr(predicting, "PER_FOLDER", 20)
    row = predicting.of_size(50, throughput.photographs(4, 32), "cpu", "byol-slim-digits")
    assert row["images"] == 50 and row["images_per_second"] > 0 and row["memory_mib"] > 50


def test_features_of_a_block_on_the_disk_are_counted_with_the_memory_they_take():
    row = throughput.of_size(2000, options(method="extract", size=16))
    assert row["images"] == 2000 and row["images_per_second"] > 0 and row["memory_mib"] > 50


@pytest.mark.parametrize("method", throughput.SCALED)
def test_what_has_no_race_is_refused_without_scale(method, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["throughput.py", "--method", method])
    with pytest.raises(SystemExit) as ended:
        throughput.main()
    assert ended.value.code == 2
    assert f"--method {method} goes with --scale" in capsys.readouterr().err
