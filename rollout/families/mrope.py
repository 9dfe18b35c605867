"""Where each token of a Qwen2.5-VL prompt lies in time, height and width (M-RoPE, arXiv 2502.13923, section 2.1).

vLLM computes these positions from seconds as real numbers and goes on after the last position of a video. The model
code of transformers 5.17 cuts the seconds to whole ones and goes on after a video's height or width, so that its
log-probs of a video would not be those the engine samples from. The trainer is therefore given the positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """One picture or video as the language model sees it."""

    steps: int
    """Steps in time; 1 for a picture."""
    rows: int
    columns: int
    positions_per_step: float
    """How far apart two steps lie in time; of no effect for a picture."""

    @property
    def num_tokens(self) -> int:
        """Media tokens it takes."""
        return self.steps * self.rows * self.columns


def prompt_positions(is_media_P: NDArray[np.bool_], *, grids: Sequence[Grid]) -> NDArray[np.int64]:
    """Positions ``[3, P]`` (time, height, width) of a prompt whose media tokens are marked; ``grids`` in reading order.

    Raises:
        ValueError: The marks are not what ``grids`` ask for.
    """
    if int(is_media_P.sum()) != sum(grid.num_tokens for grid in grids):
        raise ValueError(f"{int(is_media_P.sum())} media tokens for {[grid.num_tokens for grid in grids]}")
    return np.concatenate(list(_pieces(is_media_P, grids)), axis=1)


def following_positions(positions_3P: NDArray[np.int64], *, num_tokens: int) -> NDArray[np.int64]:
    """Positions ``[3, num_tokens]`` of the text that goes on after ``positions_3P``."""
    return _text(num_tokens, start=int(positions_3P.max()) + 1)


def _pieces(is_media_P: NDArray[np.bool_], grids: Sequence[Grid]) -> Iterator[NDArray[np.int64]]:
    token = position = 0
    for grid in grids:
        first = token + int(np.argmax(is_media_P[token:]))
        yield _text(first - token, start=position)
        position += first - token
        media = _grid_positions(grid) + position
        yield media
        token, position = first + grid.num_tokens, int(media.max()) + 1
    yield _text(len(is_media_P) - token, start=position)


def _text(num_tokens: int, *, start: int) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(start, start + num_tokens, dtype=np.int64), (3, num_tokens))


def _grid_positions(grid: Grid) -> NDArray[np.int64]:
    positions = np.indices((grid.steps, grid.rows, grid.columns), dtype=np.int64)
    if grid.steps > 1:
        positions[0] = np.floor(positions[0] * grid.positions_per_step)
    return positions.reshape(3, -1)
