"""Notebooks as a person meets them: JupyterLab in Chromium, run from the menu, answered and
explored with the mouse.

Screenshots are kept in results/browser.
"""

import re

import pytest
from lab import MISSING, PATIENCE, ROOT, Lab, browser, jupyter_lab
from running import FEW

IMAGES = ROOT / "results" / "browser"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no browser test without {' and '.join(MISSING)}")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyter_lab(tmp_path_factory.mktemp("lab") / "few-labels", **FEW) as opened:
        yield opened


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def opened(request, server, chromium):
    """The notebook that `opened_notebook` marks, run from the menu; the last look at it is kept as
    an image."""
    lab = Lab(chromium, *server, request.param, IMAGES)
    try:
        lab.restart_and_run_all()
        state = lab.state()
        # images/demo has a broken file on purpose, which is named
        warnings = [text for text in state["warnings"] if "1 image could not be read" not in text]
        assert state["errors"] == [] and warnings == [] and lab.complaints == []
        numbers = [int(prompt.strip("[]:")) for prompt in state["prompts"]]
        assert len(numbers) > 3 and numbers == sorted(set(numbers))
        yield lab
    finally:
        lab.screenshot(f"{lab.name[:2]}_last")
        lab.close()


def notebook(name):
    return pytest.mark.parametrize("opened", [name], indirect=True)


def is_readable(lab, name, what):
    """In a dark and in a light theme, in a wide and in a narrow window."""
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        lab.menu("Settings", "Theme", theme)
        lab.page.locator(f'body[data-jp-theme-name="{theme}"]').wait_for(state="attached")
        lab.show(what)
        lab.screenshot(f"{name}_{theme.split()[1].lower()}")
        assert lab.pale() == []
    lab.page.set_viewport_size({"width": 900, "height": 800})
    lab.show(what)
    lab.screenshot(f"{name}_narrow")
    assert lab.cut() == []


@notebook("02_byol_training.ipynb")
def test_the_question_of_notebook_02_is_answered_in_the_page(opened):
    from playwright.sync_api import expect

    question, answered = opened.output("ask_start("), opened.output("asked.choice()")
    assert "Start from the backbone pretrained on ImageNet?" in question.text_content()
    assert "start: random weights, encoder slim" in answered.text_content()
    is_readable(opened, "02_question", question)

    menu = question.locator("select")
    answers = menu.locator("option").all_text_contents()
    assert answers[0].startswith("imagenet:") and answers[-1].startswith("file:")
    assert menu.locator("option:checked").text_content().startswith("train:")
    menu.select_option(index=len(answers) - 1)
    opened.run_from("asked.choice()")
    path = answered.locator(".jp-Stdin-input")
    path.wait_for()
    opened.screenshot("02_path")
    path.fill(str(ROOT / "weights" / "byol-slim-digits.safetensors"))
    path.press("Enter")
    opened.wait_done()
    assert opened.state()["errors"] == []
    assert "start: byol-slim-digits.safetensors, encoder slim" in answered.text_content()

    menu.select_option(index=0)
    with opened.page.expect_file_chooser() as chooser:
        question.locator("button", has_text="Upload a file").click()
    chooser.value.set_files(ROOT / "weights" / "byol-slim-digits.safetensors")
    expect(menu.locator("option:checked")).to_have_text(re.compile("^file:"), timeout=PATIENCE)
    opened.screenshot("02_uploaded")
    opened.run_from("asked.choice()")
    opened.wait_done()
    assert opened.state()["errors"] == []
    assert "start: uploaded.weights, encoder slim" in answered.text_content()


@notebook("07_noise_robustness.ipynb")
def test_the_sigma_slider_of_notebook_07_changes_the_image_and_what_is_said_of_it(opened):
    from playwright.sync_api import expect

    shown = opened.output("explorer(look")
    image, slider = shown.locator("img"), shown.locator(".widget-slider", has_text="sigma")
    is_readable(opened, "07_slider", image)
    source, title, *verdicts = [
        image.get_attribute("src"), *image.get_attribute("alt").splitlines()
    ]
    assert title.endswith("at sigma 0")

    opened.drag(slider, 0.9)
    sigma = slider.locator(".widget-readout").text_content()
    assert float(sigma) > 1.5
    expect(image).to_have_attribute("alt", re.compile(f"at sigma {float(sigma):g}$", re.M),
                                    timeout=PATIENCE)
    opened.screenshot("07_moved")
    assert image.get_attribute("src") != source
    assert image.get_attribute("alt").splitlines()[1:] != verdicts


@notebook("08_dino_your_images.ipynb")
def test_a_point_of_the_map_of_notebook_08_shows_its_image(opened):
    from playwright.sync_api import expect

    drawn = opened.output("map_page(points").locator("svg.few-map")
    is_readable(opened, "08_map", drawn)
    point, images = drawn.locator(".p").last, drawn.locator("image:visible")
    expect(images).to_have_count(0)
    point.locator("circle").hover()
    expect(images).to_have_count(1, timeout=PATIENCE)
    assert point.locator("image").is_visible() and point.locator("text").text_content().startswith(
        "image ")
    opened.screenshot("08_pointed")


@notebook("12_label_your_images.ipynb")
def test_images_are_labelled_by_clicks_and_keys_in_notebook_12(opened, tmp_path_factory):
    from playwright.sync_api import expect

    shown = opened.output("LabelGrid(rounds")
    said = shown.locator(".widget-html, .widget-inline-hbox").first
    expect(said).to_contain_text("labels in labels.csv: 0", timeout=PATIENCE)
    is_readable(opened, "12_grid", shown)
    shown.locator("button", has_text=re.compile(r"^3 \[3\]$")).click()
    expect(said).to_contain_text("labels in labels.csv: 1", timeout=PATIENCE)
    shown.locator("input").press_sequentially("47s-uu2")
    expect(said).to_contain_text("image 5 of 20", timeout=PATIENCE)
    opened.screenshot("12_labelled")
    kept = tmp_path_factory.getbasetemp() / "lab0/few-labels/runs/labels/digits/labels.csv"
    lines = kept.read_text().splitlines()
    assert lines[0] == "file,class" and [line[-1] for line in lines[1:]] == list("3472")

    opened.restart_and_run_all()
    expect(said).to_contain_text("labels in labels.csv: 4", timeout=PATIENCE)
    shown.locator("button", has_text="undo").click()
    expect(said).to_contain_text("labels in labels.csv: 3", timeout=PATIENCE)
    assert kept.read_text().splitlines() == lines[:-1]
