"""A page to label on: the images of a round, a button and a key for each class."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from helpers.common.markup import escaped
from helpers.evaluation.labelling import NONE, SKIP, UNDO, Rounds

if TYPE_CHECKING:
    from ipywidgets import VBox

SIDE = 112  # pixels of an image on the page
NOW, DONE = "3px solid #0072b2", "3px solid transparent"
WRAP = {"display": "flex", "flex_flow": "row wrap"}


def thumbnail(image: Tensor, side: int = SIDE) -> bytes:
    """A uint8 image, C x H x W, as a PNG of `side` pixels."""
    picture = Image.fromarray((image[0] if len(image) == 1 else image.permute(1, 2, 0)).numpy())
    file = io.BytesIO()
    picture.resize((side, side), Image.Resampling.NEAREST).save(file, "png")
    return file.getvalue()


class LabelGrid:
    """Shows `Rounds` and hands clicks and keys on to them; works with ipywidgets 7.7 and 8.

    Args:
        draw: a row's image as PNG bytes.

    Attributes:
        page: the widget. Without a person's clicks it changes nothing.
    """

    def __init__(self, rounds: Rounds, draw: Callable[[int], bytes]) -> None:
        from ipywidgets import HTML, Box, Button, Text, VBox

        self.rounds, self.draw, self.typed, self.tiles = rounds, draw, "", []
        self.head, self.images = HTML(), Box(layout=WRAP)
        key_of = {name: key for key, name in rounds.keys.items()}
        buttons = [self._button(f"{name} [{key_of[name]}]" if name in key_of else name,
                                lambda name=name: rounds.answer(name))
                   for name in rounds.table.classes]
        others = [self._button(f"none of these [{NONE}]", lambda: rounds.answer(NONE)),
                  self._button(f"skip [{SKIP}]", rounds.skip),
                  self._button(f"undo [{UNDO}]", rounds.undo)]
        self.buttons: dict[str, Button] = {each.description: each for each in (*buttons, *others)}
        self.typing = Text(placeholder="type the keys in brackets",
                           layout={"width": "20em", "max_width": "95%"})
        self.typing.observe(self._typed, names="value")
        self.page: VBox = VBox([self.head, self.images, Box(buttons, layout=WRAP),
                                Box(others, layout=WRAP), self.typing])
        self.show()

    def _button(self, text: str, do: Callable[[], None]):
        from ipywidgets import Button

        button = Button(description=text, layout={"width": "auto"})
        button.on_click(lambda _: self._do(do))
        return button

    def _do(self, action: Callable[[], None]) -> None:
        action()
        self.show()

    def _typed(self, change) -> None:
        """Keys are what was added to the text: it is not emptied, or a quick typist would lose
        some."""
        new = change["new"]
        added = new[len(self.typed):] if new.startswith(self.typed) else ""
        self.typed = new
        for key in added:
            self.rounds.press(key)
        self.show()

    def show(self) -> None:
        """Draw the round as it stands."""
        rounds, table = self.rounds, self.rounds.table
        self.head.value = self._said()
        if [row for row, _ in self.tiles] != rounds.batch:
            self.tiles = [(row, self._tile(row)) for row in rounds.batch]
            self.images.children = [tile for _, tile in self.tiles]
        for place, (row, tile) in enumerate(self.tiles):
            done = place < rounds.at
            label = table.named.get(row, "skipped") if done else " "
            tile.children[1].value = f"<div>{escaped(label)}</div>"
            tile.layout.border = NOW if place == rounds.at else DONE

    def _tile(self, row: int):
        from ipywidgets import HTML, Image, VBox

        image = Image(value=self.draw(row), format="png", width=SIDE, height=SIDE)
        return VBox([image, HTML()], layout={"width": f"{SIDE + 14}px", "margin": "2px"})

    def _said(self) -> str:
        """What is known so far, in a line."""
        rounds, history = self.rounds, self.rounds.history
        known = int((rounds.table.labels >= 0).sum())
        said = [f"labels in {escaped(rounds.table.path.name)}: {known}"]
        if history and history[-1]["accuracy"] is not None:
            last = history[-1]
            said.append(f"accuracy {last['accuracy']:.1%} ({last['low']:.1%} to "
                        f"{last['high']:.1%}) with {last['labels']}, cross-validated")
        said.append("every image was asked about" if rounds.current is None else
                    f"image {rounds.at + 1} of {len(rounds.batch)} of this round, chosen by "
                    f"{rounds.chosen_by}")
        return f"<div>{' · '.join(said)}</div>"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.page)
