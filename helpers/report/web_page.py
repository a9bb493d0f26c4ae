"""HTML pages: their frame and look, and an executed notebook as one. No heavy package is needed."""

from __future__ import annotations

import html
from pathlib import Path

from helpers.common.markup import escaped

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.5rem; white-space: nowrap; text-align: right;
  border-bottom: 1px solid #8884; }
th:first-child { text-align: left; font-weight: normal; }
.note { opacity: 0.75; font-size: 0.9rem; } li { margin: 0.3rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
.cards a { display: block; border: 1px solid #8886; border-radius: 6px; padding: 0.8rem;
  text-decoration: none; color: inherit; }
.cards img { aspect-ratio: 16 / 9; width: 100%; object-fit: contain; }
"""


def document(title: str, body: str) -> str:
    """A whole HTML page; `body` is HTML, `title` a text."""
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
            f"<body>\n<h1>{escaped(title)}</h1>\n{body}\n</body>\n</html>\n")


def notebook_page(path: Path) -> str | None:
    """An executed notebook as HTML; None where the package nbconvert is not here."""
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    exporter = HTMLExporter(embed_images=True, exclude_input_prompt=True,
                            exclude_output_prompt=True)
    return exporter.from_filename(str(path))[0]
