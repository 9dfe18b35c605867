"""What every data set offers: prompts by index, and demonstrations for the supervised phases.

Random access instead of iteration: ``rollout/prompts.py`` decides the order, as a pure function of seed and
step, so a resumed run needs no data-loader state.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from conf.data import DataConfig, ScaleConfig, ScoredConfig
from conf.tasks import parts_of
from rollout.types import Demonstration, Prompt, Scale


class Dataset(Protocol):
    """One split of a labelled data set."""

    @property
    def source(self) -> str:
        """What logs call the data set; each prompt carries its own ``source`` for the metrics."""
        ...

    def __len__(self) -> int:
        """Number of prompts."""
        ...

    def prompt(self, index: int) -> Prompt:
        """The prompt at ``index``, the same one every time.

        Raises:
            IndexError: ``index`` is not in ``0 <= index < len(self)``.
        """
        ...


class Demonstrations(Protocol):
    """Supervised examples of one phase."""

    def __len__(self) -> int:
        """Number of examples; made on the fly they may be many more than anyone trains on."""
        ...

    def demonstration(self, index: int) -> Demonstration:
        """The example at ``index``, the same one every time.

        Raises:
            IndexError: ``index`` is not in ``0 <= index < len(self)``.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """How the prompts of several data sets share a step."""

    names: tuple[str, ...]
    """Data set of each prompt, by index."""
    rule: Literal["proportional", "uniform"]
    """As ``data.mixture``."""
    chunk_size: int
    """Prompts of one data set that are drawn together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Everything a run trains on and is judged by."""

    train: Dataset
    test: Dataset
    warm_up: Demonstrations | None
    """Dense targets that name what is wrong with a picture; None when the labels do not tell."""
    cold_start: Demonstrations | None
    """The answer format, with answers that carry no information, or with the reasoning of a teacher."""
    validation: Demonstrations | None = None
    """Demonstrations the cold start does not learn from, on which its loss is measured."""
    max_images: int = 1
    """Most pictures in one prompt."""
    max_videos: int = 0
    """Most videos in one prompt."""
    mixture: Mixture | None = None
    """How the data sets of the training prompts share a step; None: all prompts are shuffled together."""
    asked_scales: tuple[Scale, ...] = ()
    """The scales that the rows' own questions name; more than one: labels mean different things, ranks do not."""


def declared_scale(config: ScaleConfig) -> Scale:
    """The scale a config section declares."""
    return Scale(minimum=config.minimum, maximum=config.maximum)


def scale_of(config: DataConfig) -> Scale | None:
    """The scale of a data set's opinion scores; None for one whose prompts ask for something else."""
    scales = (part.scale for part in parts_of(config).values() if isinstance(part, ScoredConfig))
    declared = next(scales, None)
    return None if declared is None else declared_scale(declared)


def check_index(index: int, *, size: int, name: str) -> None:
    """Refuse what a list would refuse, and negative indices too.

    Raises:
        IndexError: ``index`` is not in ``0 <= index < size``.
    """
    if not 0 <= index < size:
        raise IndexError(f"{name} has entries 0..{size - 1}, asked for {index}")
