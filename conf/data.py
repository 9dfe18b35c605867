"""Which pictures and labels a run trains on and is judged by."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.base import Section

Wording = Literal["visualquality_r1", "visualquality_r1_no_thinking"]
"""The questions that can be asked."""

WORDINGS_WITHOUT_THINKING: frozenset[Wording] = frozenset({"visualquality_r1_no_thinking"})
"""Those that ask for the answer alone, without a think block before it."""


class ScaleConfig(Section):
    """The declared range of opinion scores; drives prompt, parser, rewards and label checks."""

    minimum: float
    """Score of the worst picture."""
    maximum: float
    """Score of the best picture."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum={self.minimum} must be below maximum={self.maximum}")
        return self


class PhotoDistortionsConfig(Section):
    """Real photographs with real distortions, made on the fly; labels are synthetic opinion scores."""

    kind: Literal["photo_distortions"]
    scale: ScaleConfig
    crop_size: int = Field(ge=28, le=448, multiple_of=28)
    """Side of the square crops in pixels."""
    num_train: int = Field(ge=2)
    """Distinct pictures in the training split."""
    num_test: int = Field(ge=2)
    """Distinct pictures in the test split (photographs never seen in training)."""
    prompt: Wording
    """Wording of the question."""
    data_seed: int = Field(ge=0)
    """Seeds crops, distortions and raters, so that the test split stays the same across run seeds."""


LabelFormatName = Literal[
    "visualquality_r1", "kadid", "agiqa", "koniq", "spaq", "livec", "bid", "pipal", "tid2013", "csiq",
    "deblur", "cviu", "shrq", "dehaze", "sriqa",
]  # fmt: skip
"""The published label files."""


class OpinionScoreConfig(Section):
    """A folder of pictures and a label file in one of the published formats."""

    kind: Literal["opinion_score"]
    scale: ScaleConfig
    image_folder: str
    """Folder the file names in the label files are joined to."""
    train_labels: str
    """Label file of the training split."""
    test_labels: str
    """Label file of the test split."""
    label_format: LabelFormatName
    """Declares the columns of the training labels; never guessed from the content."""
    test_label_format: LabelFormatName
    """Declares the columns of the test labels; the same as ``label_format`` unless given."""
    label_range: ScaleConfig
    """Range the labels are given in; they are mapped linearly to ``scale``."""
    higher_is_better: bool
    """False for difference scores (DMOS), which are turned round."""
    prompt: Wording
    """Wording of the question."""


DataConfig = Annotated[PhotoDistortionsConfig | OpinionScoreConfig, Field(discriminator="kind")]
