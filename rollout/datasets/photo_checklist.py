"""The data set ``photo_checklist``: yes or no, is this photograph free of such a fault?

    index --> question, right answer --> kind and level that make it so --> crop, distorted --> Prompt | Demonstration

The questions are those of the shipped checklist ``distortions``, put as ``arbiter checklist ask`` puts them. Each is
asked about a picture of its own. Every question has as many pictures whose answer is yes as no, and the test shows
every photograph with each of both, so that neither the question nor the photograph tells the answer.
"""

from dataclasses import dataclass

import numpy as np

from conf.data import PhotoChecklistConfig
from rollout.checklist.asking import question_messages
from rollout.checklist.load import look_up
from rollout.datasets import distortions, photographs
from rollout.datasets.base import Data
from rollout.datasets.distorted_photographs import (
    KINDS,
    STAGE_CODES,
    PictureRecipe,
    Stage,
    draw_content,
    encode_png,
    photo_demonstrations,
)
from rollout.datasets.on_demand import DemonstrationsOnDemand, PromptsOnDemand
from rollout.datasets.photo_distortions import name_the_defect
from rollout.types import Check, Demonstration, Prompt, Scale

SOURCE = "photo_checklist"
CHECKLIST = "distortions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What makes the answer to a question a no."""

    kind: str
    least_level: int

    def is_in(self, *, kind: str, level: int) -> bool:
        """Whether a picture has it."""
        return kind == self.kind and level >= self.least_level


_KIND_OF = {
    "blur": "gaussian_blur",
    "mosaic": "mosaic",
    "noise": "white_noise",
    "specks": "impulse_noise",
    "haze": "haze",
    "tint": "tint",
    "dropout": "dropout",
    "stripes": "stripes",
}
_LEAST_LEVEL = {"none": 1, "mild": distortions.LEVEL_WORDS.index("strong")}
FAULTS = {
    f"{word}_{grade}": Fault(kind=kind, least_level=level)
    for word, kind in _KIND_OF.items()
    for grade, level in _LEAST_LEVEL.items()
}
"""By question."""

# Other pictures than those of photo_distortions and photo_defects with the same data seed.
_SEED_OFFSET = 200
_MILDER_OF_ITS_KIND = 0.5
"""Share of right yeses, where a question is about strength, that show the same kind of distortion, only weaker."""
# A teacher who looks at every second picture and tosses a coin for the others is right for three in four.
_TEACHER_LOOKS = 0.5


def build_photo_checklist(config: PhotoChecklistConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """
    # Checks the size of the crops; its pictures teach to see.
    seen = PictureRecipe(
        source=SOURCE,
        data_seed=config.data_seed,
        crop_size=config.crop_size,
        min_level=distortions.MIN_LEVEL,
        scale=Scale(minimum=1.0, maximum=5.0),
    )

    def split(name: photographs.Split, size: int) -> PromptsOnDemand:
        return PromptsOnDemand(
            source=SOURCE, split=name, size=size, make=lambda index: _prompt(index, stage=name, config=config)
        )

    return Data(
        train=split("train", config.num_train),
        test=split("test", config.num_test),
        warm_up=photo_demonstrations(seen, stage="warm_up", show=name_the_defect),
        cold_start=DemonstrationsOnDemand(
            source=SOURCE, stage="cold_start", make=lambda index: _demonstration(index, config=config)
        ),
    )


def draw_state(fault: Fault, *, is_yes: bool, rng: np.random.Generator) -> tuple[str, int]:
    """Kind and level of a distortion that makes an answer yes or no."""
    if not is_yes:
        return fault.kind, int(rng.integers(fault.least_level, distortions.MAX_LEVEL + 1))
    if fault.least_level > 1 and rng.random() < _MILDER_OF_ITS_KIND:
        return fault.kind, int(rng.integers(1, fault.least_level))
    others = [kind for kind in KINDS if kind != fault.kind]
    level = int(rng.integers(distortions.MIN_LEVEL, distortions.MAX_LEVEL + 1))
    return others[int(rng.integers(len(others)))], level


def _demonstration(index: int, *, config: PhotoChecklistConfig) -> Demonstration:
    prompt = _prompt(index, stage="cold_start", config=config)
    rng = _generator(index, stage="cold_start", purpose=1, config=config)
    looks, coin = rng.random() < _TEACHER_LOOKS, rng.random() < 0.5
    return Demonstration(prompt=prompt, target=prompt.check.word if looks else ("yes" if coin else "no"))


def _prompt(index: int, *, stage: Stage, config: PhotoChecklistConfig) -> Prompt:
    asked = look_up(CHECKLIST).asked
    # Photographs of the test change with every turn through the questions and their answers.
    turn, slot = divmod(index, 2 * len(asked))
    question, is_yes = asked[slot // 2], slot % 2 == 0
    name = f"{SOURCE}/{stage}/{config.data_seed}/{index}"
    rng = _generator(index, stage=stage, purpose=0, config=config)
    content_id, clean = draw_content(turn, name=name, stage=stage, side=config.crop_size, rng=rng)
    kind, level = draw_state(FAULTS[question.id], is_yes=is_yes, rng=rng)
    picture = encode_png(distortions.distort(clean, kind=kind, level=level, rng=rng))
    return Prompt(
        prompt_id=name,
        messages=question_messages(question, media=picture, wording=config.prompt, made_from=None),
        reference=Check(question_id=question.id, is_yes=is_yes, picture_id=name),
        source=SOURCE,
        content_id=content_id,
        wants_thinking=False,
    )


def _generator(index: int, *, stage: Stage, purpose: int, config: PhotoChecklistConfig) -> np.random.Generator:
    return np.random.default_rng((config.data_seed, _SEED_OFFSET + STAGE_CODES[stage], index, purpose))
