"""Simple drawings of worlds without a renderer: lines, boxes and discs in the world's own coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

Point = tuple[float, float]
PAPER, INK, BODY, AIM = (255, 255, 255), (60, 60, 60), (31, 119, 180), (214, 39, 40)


class Sketch:
    """A white sheet of `width` times `height` pixels on which `span` world units around `middle` are seen upright."""

    def __init__(self, width: int, height: int, span: float, middle: Point = (0.0, 0.0)) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (width, height), PAPER)
        self._pen: Any = ImageDraw.Draw(self._image)
        self._scale = min(width, height) / span
        self._origin = width / 2 - middle[0] * self._scale, height / 2 + middle[1] * self._scale

    def _at(self, point: Point) -> Point:
        return self._origin[0] + point[0] * self._scale, self._origin[1] - point[1] * self._scale

    def line(self, begin: Point, end: Point, color: tuple[int, int, int] = INK, width: int = 2) -> None:
        """Draw a line; `width` in pixels."""
        self._pen.line([self._at(begin), self._at(end)], fill=color, width=width)

    def box(self, low: Point, high: Point, color: tuple[int, int, int] = INK, filled: bool = False) -> None:
        """Draw a box from its lower left to its upper right corner."""
        (left, bottom), (right, top) = self._at(low), self._at(high)
        self._pen.rectangle([left, top, right, bottom], outline=color, fill=color if filled else None, width=2)

    def disc(self, middle: Point, radius: float, color: tuple[int, int, int] = BODY, filled: bool = True) -> None:
        """Draw a disc."""
        (x, y), size = self._at(middle), radius * self._scale
        self._pen.ellipse([x - size, y - size, x + size, y + size], outline=color, fill=color if filled else None,
                          width=2)

    def picture(self) -> np.ndarray:
        """Return what was drawn [height, width, 3] uint8."""
        return np.asarray(self._image).copy()
