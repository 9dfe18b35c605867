"""Which pictures and labels a run trains on and is judged by."""

from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from conf.base import Section
from conf.errors import did_you_mean

WordingName = Literal[
    "visualquality_r1", "visualquality_r1_no_thinking", "aes_r1", "aes_r1_inline",
    "refine_iqa", "refine_iqa_no_thinking", "refine_iqa_published", "refine_iqa_no_thinking_published",
    "quality", "quality_no_thinking",
]  # fmt: skip
"""The ways to ask for a score that come with Arbiter; docs/prompts.md shows them."""

WORDINGS_WITHOUT_THINKING: frozenset[WordingName] = frozenset(
    {
        "visualquality_r1_no_thinking",
        "refine_iqa_no_thinking",
        "refine_iqa_no_thinking_published",
        "quality_no_thinking",
    }
)
"""Those that ask for the answer alone, without a think block before it."""


QUESTION = "[[question]]"
"""Where the wording of a checklist has the question."""


def check_wording(wording: str, *, called: str) -> None:
    """Refuse a wording of checklists that does not put the question, or puts it twice.

    Raises:
        ValueError: Names the setting, as ``called``.
    """
    if wording.count(QUESTION) != 1:
        raise ValueError(f"{called} must hold {QUESTION} once, got {wording!r}")


def is_own_text(wording: str) -> bool:
    """Whether a wording is a text file of the user's; whether it asks for thinking stands in the file."""
    return wording.endswith(".txt")


def _known(wording: str) -> str:
    names: tuple[str, ...] = get_args(WordingName)
    if wording in names or is_own_text(wording):
        return wording
    raise ValueError(
        f"{wording!r} is no wording{did_you_mean(wording, names)}; expected one of {', '.join(names)}, or a text file "
        "of your own, whose name ends in .txt"
    )


Wording = Annotated[str, AfterValidator(_known)]
"""A way to ask for a score: a name, or a text file."""

PairWording = Literal["pairwise", "pairwise_brief"]
"""The ways to ask which of two answers is better."""


Item = TypeVar("Item")
NonEmpty = Annotated[list[Item], Field(min_length=1)]


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
    """Wording of the question (docs/prompts.md), or a text file of your own, whose name ends in .txt."""
    demonstrated_scores: Literal["random", "opinion"]
    """Scores of the cold start. random: drawn without a look at the picture, so that it teaches the form alone;
    opinion: the opinion scores, for supervised fine-tuning without RL."""
    data_seed: int = Field(ge=0)
    """Seeds crops, distortions and raters, so that the test split stays the same across run seeds."""


class PhotoVideosConfig(Section):
    """Clips of eight frames made of real photographs, with defects in time; labels are synthetic opinion scores."""

    kind: Literal["photo_videos"]
    scale: ScaleConfig
    crop_size: int = Field(ge=28, le=448, multiple_of=28)
    """Side of the square frames in pixels."""
    num_train: int = Field(ge=2)
    """Distinct clips in the training split."""
    num_test: int = Field(ge=2)
    """Distinct clips in the test split (photographs never seen in training)."""
    prompt: Wording
    """Wording of the question (docs/prompts.md), or a text file of your own, whose name ends in .txt."""
    data_seed: int = Field(ge=0)
    """Seeds contents, defects and raters, so that the test split stays the same across run seeds."""


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


class PhotoDefectsConfig(Section):
    """Photographs with one local distortion, or none, and questions about it."""

    kind: Literal["photo_defects"]
    crop_size: int = Field(ge=28, le=448, multiple_of=28)
    """Side of the square crops in pixels."""
    num_train: int = Field(ge=1)
    """Distinct pictures in the training split; each is asked about once per task."""
    num_test: int = Field(ge=1)
    """Distinct pictures in the test split (photographs never seen in training), likewise."""
    tasks: list[Literal["type", "severity", "type_and_severity", "region", "area"]] = Field(min_length=1)
    """What is asked about each picture: its kind of defect, how bad it is, both, where it is in words, or as a box."""
    reference: Literal["none", "full", "both"]
    """Whether the undistorted picture is shown first: never, always, or with every task once so and once so."""
    data_seed: int = Field(ge=0)
    """Seeds crops, defects and candidates, so that the test split stays the same across run seeds."""

    @model_validator(mode="after")
    def _each_task_once(self) -> Self:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks={self.tasks} names a task twice; name each once")
        return self

    @model_validator(mode="after")
    def _nine_regions_fit(self) -> Self:
        if self.crop_size < 56:
            raise ValueError(f"crop_size={self.crop_size} has no room for defects in nine regions; use 56 or more")
        return self

    @property
    def num_questions(self) -> int:
        """Questions about each picture."""
        return len(self.tasks) * (2 if self.reference == "both" else 1)

    @property
    def num_test_prompts(self) -> int:
        """Questions of the test split."""
        return self.num_test * self.num_questions


class PhotoChecklistConfig(Section):
    """Distorted photographs and yes/no questions about them, those of the checklist ``distortions``."""

    kind: Literal["photo_checklist"]
    crop_size: int = Field(ge=28, le=448, multiple_of=28)
    """Side of the square crops in pixels."""
    num_train: int = Field(ge=1)
    """Questions of the training split, each about a picture of its own."""
    num_test: int = Field(ge=1)
    """Questions of the test split (photographs never seen in training), likewise."""
    prompt: str
    """How a question is put, ``[[question]]`` standing for it; as ``checklist.wording``, so that a trained judge is
    asked what it was trained on."""
    data_seed: int = Field(ge=0)
    """Seeds crops and distortions, so that the test split stays the same across run seeds."""

    @model_validator(mode="after")
    def _the_wording_holds_the_question_once(self) -> Self:
        check_wording(self.prompt, called="prompt")
        return self


LabelFormatName = Literal[
    "plain", "visualquality_r1", "aes_r1", "refine_iqa", "kadid", "agiqa", "koniq", "spaq", "livec", "bid", "pipal",
    "tid2013", "csiq", "deblur", "cviu", "shrq", "dehaze", "sriqa",
]  # fmt: skip
"""Arbiter's own label files, and the published ones."""


FrameRule = Literal["spread", "clock"]
"""Which frames of a video are shown (``rollout.videos``)."""


class VideoConfig(Section):
    """How much of a video is shown."""

    fps: float = Field(gt=0, le=60)
    """Frames shown per second; a folder or list of frames is taken to hold this many per second."""
    max_frames: int = Field(ge=2, le=768)
    """Most frames shown of one video; of a longer one they are spread evenly."""
    max_pixels: int = Field(ge=28 * 28)
    """Frames of more pixels are reduced to this many."""
    total_pixels: int | None = Field(ge=28 * 28)
    """Pixels the shown frames share, two counting as one; where there are many, each is reduced further, down to
    ``model.min_pixels``. null: no such limit."""


class OpinionScoreConfig(Section):
    """Folders of pictures and label files in one of the published formats, or our own."""

    kind: Literal["opinion_score"]
    scale: ScaleConfig
    image_folder: str | dict[str, str | dict[str, str]]
    """Folder the file names in the label files are joined to; or one for pictures and one for videos, {image: FOLDER,
    video: FOLDER}; or either of these for each data set that the rows name: {KADID-10K: FOLDER, ...}."""
    train_labels: str | NonEmpty[str]
    """Label file of the training split, or a list of files."""
    test_labels: str | NonEmpty[str]
    """Label file of the test split, or a list of files."""
    label_format: LabelFormatName
    """Declares the columns of the training labels; never guessed from the content."""
    test_label_format: LabelFormatName
    """Declares the columns of the test labels; the same as ``label_format`` unless given."""
    label_range: ScaleConfig
    """Range the labels are given in; they are mapped linearly to ``scale``. A plain row may declare its own."""
    higher_is_better: bool
    """False for difference scores (DMOS), which are turned round."""
    mixture: Literal["proportional", "uniform"]
    """Which data set the next prompts are of. proportional: each as often as it has rows; uniform: drawn by name, so
    that small ones are used up early in an epoch (VisualQuality-R1's sampler)."""
    chunk_size: int = Field(ge=1)
    """Prompts of one data set that are drawn together, so that each finds partners for the ranking reward. 1 with
    ``mixture=proportional`` shuffles all rows freely. Must divide ``rollout.prompts_per_step``."""
    prompt: Wording
    """Wording of the question (docs/prompts.md), or a text file of your own, whose name ends in .txt."""
    video: VideoConfig

    @field_validator("image_folder")
    @classmethod
    def _kinds_are_named(cls, given: str | dict[str, str | dict[str, str]]) -> str | dict[str, str | dict[str, str]]:
        of_data_sets = {} if isinstance(given, str) else given
        for name, folders in of_data_sets.items():
            unknown = [] if isinstance(folders, str) else [kind for kind in folders if kind not in ("image", "video")]
            if unknown:
                raise ValueError(
                    f"the folders of {name} are for image and video, not for {', '.join(unknown)}; give one folder, or "
                    "{image: FOLDER, video: FOLDER}"
                )
        return given


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


PartConfig = Annotated[
    PhotoDistortionsConfig
    | PhotoVideosConfig
    | OpinionScoreConfig
    | PhotoPairsConfig
    | PreferencePairsConfig
    | PhotoDefectsConfig
    | PhotoChecklistConfig,
    Field(discriminator="kind"),
]
"""A data set of one kind."""


ScoredConfig = PhotoDistortionsConfig | PhotoVideosConfig | OpinionScoreConfig
"""Those that ask for scores, on a scale they declare."""


class MixedConfig(Section):
    """Several data sets in one run; reward terms look at answers to their own task."""

    kind: Literal["mixed"]
    parts: dict[str, PartConfig]
    """The data sets by name, each with the options of its kind as they stand under ``data``."""
    mixture: Literal["proportional", "uniform"]
    """How they share the prompts of a step: by their size, or each as often as the others until it is used up."""

    @model_validator(mode="after")
    def _several_parts(self) -> Self:
        if len(self.parts) < 2:
            raise ValueError(f"parts holds {', '.join(self.parts) or 'nothing'}; name two or more, or use another data")
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        scales = {name: part.scale for name, part in self.parts.items() if isinstance(part, ScoredConfig)}
        if len(set(scales.values())) > 1:
            told = ", ".join(f"{name} {scale.minimum:g}..{scale.maximum:g}" for name, scale in scales.items())
            raise ValueError(f"parts must declare one scale, got {told}; map their labels to the same one")
        return self


DataConfig = Annotated[
    PhotoDistortionsConfig
    | PhotoVideosConfig
    | OpinionScoreConfig
    | PhotoPairsConfig
    | PreferencePairsConfig
    | PhotoDefectsConfig
    | PhotoChecklistConfig
    | MixedConfig,
    Field(discriminator="kind"),
]
