"""Notebooks of a folder that a stranger named, with weights of such a name: they are what is
recorded, and exported and opened in a browser no name runs."""

import shutil

import numpy as np
import pytest
from lab import MISSING, ROOT, browser
from nbconvert import HTMLExporter
from PIL import Image
from running import FEW, execute, prose

from helpers.common.markup import escaped
from helpers.report.results import summary

pytestmark = pytest.mark.slow
RUNS = "window.pwned=1"
CLASSES = [f'<img src=x onerror="{RUNS}">', f"<svg onload={RUNS}>",
           f"[a](javascript:{RUNS}) `b` | c", f'"><script>{RUNS}<\uff0fscript>',
           rf"$\href{{javascript:{RUNS}}}{{x}}$",
           rf"\begin{{equation}}\href{{javascript:{RUNS}}}{{x}}\end{{equation}}"]
DATASET = f"<img src=y onerror={RUNS}>"
WEIGHTS = f"<img src=z onerror={RUNS}>.safetensors"
SHOWING = ("01", "03", "04", "06", "08", "10")  # notebooks that show these names
LOOK = """() => ({
  ran: window.pwned === 1,
  made: [...document.querySelectorAll('img[src=x], img[src=y], img[src=z], svg[onload]')].length,
  links: [...document.querySelectorAll('a[href^=javascript]')].length,
  formulas: (() => {  // texts in which MathJax, which is not here, would look for formulas
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    for (let at = walk.nextNode(); at; at = walk.nextNode())
      if (!at.parentElement.closest('pre, code, script, style, textarea, .tex2jax_ignore')
          && /[$].*javascript|\\\\[([a-z].*javascript/.test(at.data)) found.push(at.data);
    return found})(),
  text: document.body.innerText})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images whose classes, and the files of which, have hostile names."""
    root, dice = tmp_path_factory.mktemp("hostile") / DATASET, np.random.default_rng(0)
    for shade, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(24):
            pixels = dice.integers(0, 60 + 38 * shade, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"<img src=x onerror={RUNS}>{number}.png")
    return root


@pytest.fixture(scope="module")
def chromium():
    if MISSING:
        pytest.skip(f"no browser test without {' and '.join(MISSING)}")
    with browser() as opened:
        yield opened


def opened(out, number, chromium):
    """What a browser makes of the executed notebook's page."""
    html = HTMLExporter().from_filename(str(out / "results" / "notebooks" / f"{number}.ipynb"))[0]
    (out / "page.html").write_text(html, encoding="utf-8")
    page = chromium.new_page()
    page.goto((out / "page.html").as_uri(), wait_until="domcontentloaded")
    page.wait_for_timeout(1000)
    seen = page.evaluate(LOOK)
    page.close()
    return seen


def test_a_name_that_is_not_escaped_would_run(tmp_path, chromium):
    (tmp_path / "page.html").write_text(f"<body>{CLASSES[0]}<p>{CLASSES[4]}<p>{CLASSES[5]}</body>")
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_timeout(500)
    seen = page.evaluate(LOOK)
    assert seen["ran"] and len(seen["formulas"]) == 2


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Where notebooks were run on that folder, in one command, with weights of a hostile name."""
    out = tmp_path_factory.mktemp("run")
    shutil.copy(ROOT / "weights" / "byol-slim-imagenette.safetensors", out / WEIGHTS)
    execute(out, "--preset", "smoke", "--dataset", str(folder), "--only", *SHOWING,
            FEWLABELS_IMAGE_SIZE="32", FEWLABELS_WEIGHTS=str(out / WEIGHTS), **FEW)
    return out


@pytest.mark.parametrize("number", SHOWING)
def test_no_name_of_a_class_a_file_a_folder_or_weights_runs(number, run, chromium):
    seen = opened(run, number, chromium)
    assert not seen["ran"] and not seen["made"] and not seen["links"]
    assert not seen["formulas"]
    assert number != "01" or "onerror" in seen["text"] or "onload" in seen["text"]
    assert number not in ("03", "04", "06") or "src=z" in seen["text"]
    assert number != "08" or "onerror" in seen["text"] or "onload" in seen["text"]


def test_chosen_weights_go_through_to_what_is_recorded(run):
    rows = summary(run / "results")
    methods = set(rows[rows.notebook.str[:2].isin(["03", "04"])].method)
    assert {WEIGHTS, f"fine-tuned {WEIGHTS}"} <= methods and "BYOL" not in methods
    assert escaped(WEIGHTS) in prose(run, "03")[-1]
    names = {path.name for path in (run / "runs").rglob("*.safetensors")}
    assert {"03_classifier.safetensors", "04_classifier.safetensors"} <= names
    # no BYOL was trained; noise-BYOL is a listed one
    kept = {path.parent.name.split("-")[0] for path in (run / "runs").rglob("encoder.safetensors")}
    assert kept == {"dino"}
