"""The page that a run leaves: all of it in one file, and no name in it does anything."""

import re

import nbformat
import numpy as np
import pandas as pd

from helpers.report.page import results_page
from helpers.report.web_page import notebook_page

HOSTILE = "<img src=x onerror=alert(1)> $x$"


def rows(method="BYOL"):
    few = [dict(notebook="03_feature_extraction", method=method, protocol="linear probe",
                labels_per_class=count, sigma=np.nan, metric="test accuracy", mean=0.8, std=0.02,
                n=3) for count in ("1", "10", "all")]
    noisy = [dict(few[0], notebook="07_noise_robustness", labels_per_class="all", sigma=sigma)
             for sigma in (0.0, 1.0)]
    return pd.DataFrame(few + noisy)


def test_the_page_has_figures_tables_with_intervals_and_links_and_needs_nothing_beside_it():
    page = results_page(rows(), "digits, preset quick", {"01 · One": "pages/01.html"})
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "<td>80.0 (75.0–85.0)</td>" in page
    assert '<a href="pages/01.html">01 · One</a>' in page
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_names_are_data():
    page = results_page(rows(HOSTILE), HOSTILE, {HOSTILE: "pages/01.html"})
    shown = re.sub(r'<img src="data:[^>]*>', "", page)  # whose texts are no page's
    assert "<img" not in shown and "$x$" not in shown


def test_a_run_without_the_headline_notebooks_has_a_page_as_well():
    page = results_page(pd.DataFrame(), "digits", {})
    assert "did not run" in page


def test_a_run_with_all_labels_only_has_its_table_and_nothing_to_draw():
    frame = rows()
    page = results_page(frame[(frame.labels_per_class == "all") & frame.sigma.isna()], "digits", {})
    assert "<td>80.0 (75.0–85.0)</td>" in page and "data:image" not in page


def test_an_executed_notebook_becomes_a_page(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# A title"), nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01.ipynb")
    assert "A title" in notebook_page(tmp_path / "01.ipynb")
