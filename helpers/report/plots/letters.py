"""Letters of figures: names as they are, in a font of this machine that has them."""

from __future__ import annotations

import functools
import sys
import warnings

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

LATIN = 0x24F  # up to here the usual font has everything
# fonts with other scripts, of Linux, Windows and macOS
OTHERS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK TC", "Noto Sans SC",
    "Noto Sans JP", "Noto Sans KR", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "Yu Gothic",
    "MS Gothic", "Meiryo", "Malgun Gothic", "PingFang SC", "PingFang HK", "Hiragino Sans",
    "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Noto Emoji", "Segoe UI Symbol",
    "FreeSans", "Unifont")
said: set[str] = set()  # characters that a line has named


@functools.cache
def families() -> list[str]:
    """The usual font, then those of `OTHERS` that are installed."""
    here = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHERS if name in here)]


@functools.cache
def _has(character: str) -> bool:
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in families())
    return any(font.get_char_index(ord(character)) for font in fonts)


def say_what_no_font_has(figure: Figure) -> None:
    """One line for characters that will be boxes, in place of a warning each time."""
    texts = (text.get_text() for text in figure.findobj(Text))
    odd = {letter for text in texts for letter in text if ord(letter) > LATIN}
    missing = sorted(letter for letter in odd - said if not _has(letter))
    if odd:
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
    if missing:
        said.update(missing)
        print(f"no font here has {''.join(missing[:12])}: figures show boxes for them; install one "
              "with these letters, such as Noto Sans CJK, and start again", file=sys.stderr)
