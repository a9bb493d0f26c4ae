"""A run's results as one HTML page that needs nothing beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from helpers.common.markup import escaped
from helpers.report import tables
from helpers.report.plots.lines import curves
from helpers.report.plots.sweeps import label_curve
from helpers.report.web_image import image
from helpers.report.web_page import document


def results_page(frame: pd.DataFrame, about: str, notebooks: Mapping[str, str]) -> str:
    """The headline figures and tables of a run, and links to what ran.

    Args:
        frame: rows as `summary` gives them, of one dataset and preset.
        about: what ran on what, in a sentence.
        notebooks: titles of executed notebooks to addresses, from where the page lies.
    """
    parts = [f"<p>{escaped(about)}</p>"]
    for column, title, rows in tables.headlines(frame):
        wide = tables.wide_table(rows, column, tables.percent_interval).fillna("")
        table = wide.rename(index=escaped, columns=escaped).to_html(escape=False, border=0)
        drawn = rows[rows[column] != "all"]  # a run does not tell of how many "all" are
        parts += [f"<h2>Test accuracy by {title}</h2>",
                  image(_figure(column, drawn)) if len(drawn) else "",
                  f'<div class="wide">{table}</div>',
                  '<p class="note">In %; in brackets the 95 % confidence interval of the mean '
                  "(Student's t) where something was repeated.</p>"]
    if len(parts) == 1:
        parts.append("<p>The notebooks with the headline numbers (03, 04, 07) did not run.</p>")
    links = "".join(f'<li><a href="{html.escape(address)}">{escaped(title)}</a></li>'
                    for title, address in notebooks.items())
    parts.append(f"<h2>The executed notebooks</h2><ul>{links}</ul>")
    parts.append('<p class="note">All numbers: <a href="summary.csv">summary.csv</a></p>')
    return document("Few Labels: results", "\n".join(parts))


def _figure(column: str, rows: pd.DataFrame) -> Figure:
    if column == "labels_per_class":
        return label_curve(tables.label_rows(rows), 0, "Accuracy against labels per class")
    series = {method: (own.sigma.to_numpy(), own["mean"].to_numpy())
              for method, own in rows.groupby("method", sort=False)}
    return curves(series, "sigma of the noise, images in [-1, 1]", "test accuracy (%)",
                        "Accuracy under noise", percent=True)
