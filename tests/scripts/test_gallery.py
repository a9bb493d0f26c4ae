"""The gallery: a page for each executed notebook, and one that leads to them."""

import base64
import re
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from scripts import gallery


@pytest.fixture
def copies(tmp_path):
    Image.new("RGB", (900, 600), "navy").save(tmp_path / "figure.png")
    data = {"image/png": base64.b64encode((tmp_path / "figure.png").read_bytes()).decode()}
    shown = nbformat.v4.new_output("display_data", data)
    for name, outputs in (("01_first", [shown]), ("02_second", [])):
        cells = [nbformat.v4.new_markdown_cell(f"# {name} & more"),
                 nbformat.v4.new_code_cell("draw()", outputs=outputs)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    return tmp_path


def test_every_notebook_has_a_page_and_its_title_and_figure_lead_to_it(copies, tmp_path):
    index = gallery.build(copies, tmp_path / "site")
    page = index.read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert links == ["01_first.html", "02_second.html"]
    assert all((index.parent / link).exists() for link in links)
    assert "01_first &#38; more" in page and page.count("<img") == 1


def test_without_notebooks_it_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no executed notebooks"):
        gallery.build(tmp_path, tmp_path / "site")


def test_it_needs_neither_torch_nor_pandas():
    code = ("import sys; sys.modules.update(torch=None, pandas=None, matplotlib=None); "
            "import scripts.gallery")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
