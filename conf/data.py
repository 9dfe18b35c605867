"""Which pictures and labels a run trains on and is judged by."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from conf.base import Section

Wording = Literal["visualquality_r1", "visualquality_r1_no_thinking"]
"""The ways to ask for a score."""

PairWording = Literal["pairwise", "pairwise_brief"]
"""The ways to ask which of two answers is better."""

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


class PhotoPairsConfig(Section):
    """Distorted photographs with two descriptions of the defect, one of them right."""

    kind: Literal["photo_pairs"]
    crop_size: int = Field(ge=28, le=448, multiple_of=28)
    """Side of the square crops in pixels."""
    num_train: int = Field(ge=2)
    """Distinct pairs in the training split."""
    num_test: int = Field(ge=1)
    """Distinct pairs in the test split (photographs never seen in training); each is asked in both orders."""
    prompt: PairWording
    """Wording of the question."""
    data_seed: int = Field(ge=0)
    """Seeds crops, distortions and wrong answers, so that the test split stays the same across run seeds."""


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


class VideoConfig(Section):
    """How much of a video is shown."""

    fps: float = Field(gt=0, le=60)
    """Frames shown per second; a folder or list of frames is taken to hold this many per second."""
    max_frames: int = Field(ge=2, le=768)
    """Most frames shown of one video; of a longer one they are spread evenly."""
    max_pixels: int = Field(ge=28 * 28)
    """Frames of more pixels are reduced to this many."""


class PreferencePairsConfig(Section):
    """Files of questions with two answers about pictures or videos, and which answer is better."""

    kind: Literal["preference_pairs"]
    image_folder: str
    """Folder the names of pictures and videos in the rows are joined to; absolute names stay as they are."""
    train_labels: str
    """Rows of the training split: a .jsonl, .json or .parquet file, or a folder of such files."""
    test_labels: str
    """Rows of the test split, likewise; each pair is asked in both orders where its two answers are known."""
    label_format: Literal["plain", "r1_reward"]
    """Declares the fields of a row: Arbiter's own, or those R1-Reward is trained on."""
    prompt: Literal["as_given", "pairwise", "pairwise_brief"]
    """Wording of the question; as_given shows the message of an r1_reward row as it is."""
    order: Literal["as_given", "random", "both"]
    """Order of the two answers in training. random: the better one first in exactly half of the rows; both: each pair
    twice, once in each order."""
    data_seed: int = Field(ge=0)
    """Seeds ``order=random``."""
    traces: str | None
    """Reasoning of a teacher, a .jsonl file; its right traces are the cold start's demonstrations. null: none."""
    difficulty: Literal["all", "hard"]
    """hard: reinforcement learning sees only the rows the teacher did not get right at its first attempt."""
    too_long: Literal["refuse", "drop"]
    """What becomes of prompts that leave no room for an answer within ``rollout.max_model_len``; none is ever cut."""
    video: VideoConfig

    @model_validator(mode="after")
    def _options_have_what_they_need(self) -> Self:
        if self.prompt == "as_given" and self.label_format != "r1_reward":
            raise ValueError(
                f"prompt=as_given shows the message of a row, which label_format={self.label_format} has not; "
                "use prompt=pairwise"
            )
        if self.difficulty == "hard" and self.traces is None:
            raise ValueError("difficulty=hard needs traces, which say what the teacher found hard; set traces")
        return self


DataConfig = Annotated[
    PhotoDistortionsConfig | OpinionScoreConfig | PhotoPairsConfig | PreferencePairsConfig, Field(discriminator="kind")
]
