"""Write the README's results from a file of results, so that no number there is typed.

    python -m helpers.tools.readme results/summary.csv     take these results: keep, draw and write them
    python -m helpers.tools.readme                         write again from the kept ones
    python -m helpers.tools.readme --check                 exit status 1 if README and results differ

The kept results are `benchmarks/results/digits-quick.csv`; the figures go to `images/`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import plots
from helpers.errors import UserError
from helpers.files import atomic_path, write_atomically

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "benchmarks" / "results" / "digits-quick.csv"
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)
NOISE = ("supervised", "supervised + noise", "BYOL", "noise-BYOL", "raw pixels")


def tables(frame: pd.DataFrame) -> str:
    """The README's two tables, in Markdown, from the rows of notebooks 03, 04 and 07."""
    few = frame[(frame.notebook.str[:2].isin(["03", "04"])) & (frame.protocol != "kNN, k = 20")
                & ~frame.protocol.str.startswith(("logistic", "MLP"))]
    noise = frame[frame.notebook.str.startswith("07") & frame.sigma.notna()]
    return (f"Test accuracy in %, mean ± standard deviation over label draws ({_counts(few)}):\n\n"
            f"{_grid(few, 'labels_per_class', 'labels per class')}\n\n"
            f"Under Gaussian noise, all labels, {_counts(noise)}; sigma in normalised units (pictures in [-1, 1]):\n\n"
            f"{_grid(noise, 'sigma', 'sigma')}\n")


def _grid(frame: pd.DataFrame, column: str, heading: str) -> str:
    """Methods down, the values of `column` across."""
    values = list(dict.fromkeys(frame[column]))
    lines = [f"| {heading} | " + " | ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values) + " |",
             "|---|" + "---|" * len(values)]
    for (method, protocol), rows in frame.groupby(["method", "protocol"], sort=False):
        cells = {row[column]: _cell(row) for _, row in rows.iterrows()}
        lines.append(f"| {method}, {protocol} | " + " | ".join(cells.get(v, "") for v in values) + " |")
    return "\n".join(lines)


def _cell(row: pd.Series) -> str:
    deviation = f" ± {100 * row['std']:.1f}" if row["n"] > 1 and not np.isnan(row["std"]) else ""
    return f"{100 * row['mean']:.1f}{deviation}"


def _counts(frame: pd.DataFrame) -> str:
    counts = sorted({int(n) for n in frame.n})
    return "n = " + " or ".join(str(n) for n in counts)


def figures(frame: pd.DataFrame, folder: Path) -> None:
    """Draw `few_labels.png` and `noise.png`."""
    few = frame[(frame.protocol == "linear probe") | frame.notebook.str.startswith("04")]
    rows = [dict(method=row.method, labels_per_class=row.labels_per_class if row.labels_per_class == "all"
                 else int(row.labels_per_class), mean=row["mean"], std=row["std"], n=int(row.n))
            for _, row in few.iterrows() if row.notebook[:2] in ("03", "04") and not row.method.startswith("PCA")]
    _save(plots.label_curve(rows, 110, "Handwritten digits, few labels"), folder / "few_labels.png")
    bars = [dict(method=row.method, mean=row["mean"], std=row["std"], n=int(row.n)) for _, row in
            frame[frame.notebook.str.startswith("07") & (frame.sigma == 1.6)].iterrows()]
    figure = plots.bars(bars, "Handwritten digits under noise of sigma 1.6", over="draws of the noise")
    _save(figure, folder / "noise.png")


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight")


def load(path: Path) -> pd.DataFrame:
    """Results of the digits at quick scale, as `helpers.results.record` wrote them."""
    if not path.exists():
        raise UserError(f"{path} is not there: run the notebooks first (make run)")
    frame = pd.read_csv(path, dtype={"labels_per_class": str}, keep_default_na=True)
    return frame[(frame.dataset == "digits") & (frame.preset == "quick")]


def main(arguments: list[str]) -> int:
    """See the module's text."""
    check = "--check" in arguments
    source = next((Path(word) for word in arguments if not word.startswith("-")), None)
    readme = ROOT / "README.md"
    frame = load(source or KEPT)
    old = readme.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda block: f"{block[1]}{tables(frame)}{block[2]}", old)
    if check:
        print("README and results agree" if old == new else "README.md: its results are not those of the file")
        return int(old != new)
    if source is not None:
        with atomic_path(KEPT) as temporary:
            frame.to_csv(temporary, index=False)
    write_atomically(readme, new)
    figures(frame, ROOT / "images")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
