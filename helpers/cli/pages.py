"""What a run leaves to look at: its results and its executed notebooks as HTML pages."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from helpers.cli.execute import title_of
from helpers.common.files import write_atomically
from helpers.common.progress_bar import progress
from helpers.report.page import results_page
from helpers.report.results import summary
from helpers.report.web_page import notebook_page
from helpers.settings import Settings


def results_of(out: Path, settings: Settings) -> pd.DataFrame:
    """The latest rows of a run's dataset and preset, or of any where there are none."""
    if not (out / "summary.csv").exists():
        return pd.DataFrame()
    frame = summary(out)
    own = (frame.dataset == settings.dataset) & (frame.preset == settings.preset)
    return frame[own] if own.any() else frame


def page_of(copy: Path) -> Path:
    """Where the page of an executed notebook is; it is made if that was not done yet."""
    page = copy.parents[1] / "pages" / f"{copy.stem}.html"
    if not page.exists() or page.stat().st_mtime < copy.stat().st_mtime:
        made = notebook_page(copy)
        if made:
            write_atomically(page, made)
    return page


def write_pages(out: Path, settings: Settings) -> Path:
    """Write `report.html` and `pages/NN.html` of each executed notebook; returns the first's path.

    A notebook's page is made again where the notebook is newer. Without the package nbconvert the
    report links to the notebooks themselves.
    """
    links = {}
    for copy in progress(sorted((out / "notebooks").glob("[0-9][0-9].ipynb")), "pages", "pages"):
        page = page_of(copy)
        shown = page if page.exists() else copy
        links[title_of(copy)] = shown.relative_to(out).as_posix()
    frame, path = results_of(out, settings), out / "report.html"
    about = (f"{Path(settings.dataset).name}, preset {settings.preset}, seed {settings.seed}, on "
             f"{settings.device}")
    write_atomically(path, results_page(frame, about, links))
    return path
