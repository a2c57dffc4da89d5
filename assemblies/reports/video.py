"""A video of a body: frames brought to one size, with a few words on them, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ...loops.errors import AssemblyError, Problem, RunError, counted, reason

MOST_FRAMES = 60  # a second of video; of a faster body every second, third, ... tick is shown
LARGEST = 4096  # pixels of a side
_MARGIN, _LETTERS = 8, 14  # pixels


def parse_size(text: str) -> tuple[int, int]:
    """Return `640x480` as (640, 480)."""
    width, _, height = text.lower().partition("x")
    if width.isdecimal() and height.isdecimal():
        size = int(width), int(height)
        if all(16 <= side <= LARGEST and side % 2 == 0 for side in size):
            return size
    raise AssemblyError([Problem(f"{text[:40]!r} is no size of a video", "--size", "Write width and height in pixels, "
                                 f"even numbers from 16 to {LARGEST}: 640x480.")])


def pace(tick_ns: float, speed: float) -> tuple[int, float]:
    """Return of how many ticks one is shown, and the frames a second of a video `speed` times as fast as life."""
    if not (np.isfinite(speed) and speed > 0):
        raise AssemblyError([Problem(f"a video at {speed:g} times the speed of life cannot be shown", "--speed",
                                     "Write a number above 0: 1 as in life, 0.1 ten times slower.")])
    rate = speed * 1e9 / tick_ns
    stride = max(1, int(np.ceil(rate / MOST_FRAMES - 1e-9)))
    return stride, rate / stride


class Video:
    """Takes frames one after another; the file is there when all of them are."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float, option: str = "--to") -> None:
        if path.suffix.lower() != ".mp4":
            raise AssemblyError([Problem(f"{path.name[:80]!r} is no name of a video", option, "End it in .mp4.")])
        try:
            import imageio.v2 as imageio
            import imageio_ffmpeg  # noqa: F401 (what writes, found here rather than at the first frame)
        except ImportError as error:
            raise RunError(f"a video needs imageio and ffmpeg: {error}. Install them: pip install "
                           "'stimloop[reports]'") from error
        self.path, self.size, self.rate, self.frames = path, size, rate, 0
        self.replaced = path.exists()
        self._part = path.with_name(f".{path.stem[:200]}.part{path.suffix}")
        try:
            self._writer: Any = imageio.get_writer(self._part, fps=rate, codec="libx264", quality=7, macro_block_size=2,
                                                   ffmpeg_log_level="error")
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"{path} cannot be written: {reason(error)}") from error

    def add(self, picture: np.ndarray, words: list[str]) -> None:
        """Add a picture [rows, columns, 3] uint8, fitted into the frame, with lines of words above all."""
        try:
            self._writer.append_data(fitted(picture, self.size, words))
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {reason(error)}") from error
        self.frames += 1

    def facts(self) -> dict[str, Any]:
        """Return what is known of the video."""
        return {"video": str(self.path), "frames": self.frames, "frames_per_second": self.rate,
                "replaced": self.replaced}

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._writer.close()
        if kind is None and self._part.is_file():
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)


def told(facts: Mapping[str, Any]) -> str:
    """Say in a line what `Video.facts` says."""
    seconds = facts["frames"] / facts["frames_per_second"]
    instead = ", in place of the one that was there" if facts["replaced"] else ""
    return f"{facts['video']}: {counted(facts['frames'], 'frame')}, {seconds:.1f} s{instead}"


def fitted(picture: np.ndarray, size: tuple[int, int], words: list[str]) -> np.ndarray:
    """Return a picture [height, width, 3] uint8 of this size: the whole of the given one, and words on a dark strip."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    image = Image.fromarray(np.ascontiguousarray(picture[..., :3], np.uint8))
    if image.size != size:
        image = ImageOps.pad(image, size, color=(0, 0, 0))
    if words:
        pen, text = ImageDraw.Draw(image, "RGBA"), "\n".join(words)
        font = ImageFont.load_default(_LETTERS)
        left, top, right, bottom = pen.multiline_textbbox((_MARGIN, _MARGIN), text, font=font)
        pen.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill=(0, 0, 0, 150))
        pen.multiline_text((_MARGIN, _MARGIN), text, font=font, fill=(255, 255, 255))
    return np.asarray(image)
