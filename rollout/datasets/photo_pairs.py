"""The data set ``photo_pairs``: which of two descriptions of a distorted photograph's defect is right?

    distorted crop --> "strong blur" | "strong haze" --> order --> Prompt | Demonstration

The descriptions differ in the kind of defect. Each training pair is shown in one order, the right answer first in
exactly every second one; each test pair is shown in both orders, as neighbours. Test pairs show photographs that no
other stage ever sees.
"""

from dataclasses import replace

import numpy as np

from conf.data import PairWording, PhotoPairsConfig
from rollout.datasets import distortions, photographs
from rollout.datasets.base import Data
from rollout.datasets.distorted_photographs import KINDS, Example, PictureRecipe, photo_demonstrations
from rollout.datasets.on_demand import PromptsOnDemand
from rollout.datasets.pair_questions import ask_pair, choose, conclude
from rollout.datasets.photo_distortions import name_the_defect
from rollout.datasets.questions import describe
from rollout.types import Choice, Demonstration, Preference, Prompt, Scale

SOURCE = "photo_pairs"
QUESTION = "Which defect has this picture?"
MIN_LEVEL = 2
"""Fainter defects than "mild" are a matter of taste."""

# What a tiny model has to be able to do before it can compare: the rest of the warm-up names the defect alone.
_WARM_UP_REPEATS = 0.3
"""Share of warm-up pictures shown with both descriptions, of which the right one is to be repeated."""
_WARM_UP_LOOKS_UP = 0.3
"""Share shown with both descriptions and asked which of them says so and so, whatever the picture shows. The answer has
the words of the cold start, so that one thing is learned once: from a description to the number it stands behind."""

# The teacher of the cold start is noisy, as real ones are: what it leaves to be learned is what RL is for.
_TEACHER_LOOKS = 0.5
"""Share of demonstrations whose reasoning looks at the picture; the others favour an answer by a guess."""
_TEACHER_GUESSES_FIRST = 0.75
"""A guess is "1" this often, so that there is a position bias to lose."""
_TEACHER_MEANS_IT = 0.5
"""Share of demonstrations whose answer looks at the reasoning; the others guess once more."""


def build_photo_pairs(config: PhotoPairsConfig) -> Data:
    """Both splits and both supervised phases.

    Raises:
        ValueError: ``crop_size`` is larger than the smallest photograph.
        FileNotFoundError: A package with photographs is not installed.
    """
    recipe = _recipe(config)

    def split(name: photographs.Split, size: int) -> PromptsOnDemand:
        def make(index: int) -> Prompt:
            # Test questions 2i and 2i + 1 are one pair in both orders.
            pair = index if name == "train" else index // 2
            example = recipe.example(pair, stage=name)
            wrong = _other_defect(example, recipe.generator(pair, stage=name))
            return _prompt(example, wrong=wrong, better=1 if index % 2 == 0 else 2, config=config)

        return PromptsOnDemand(source=SOURCE, split=name, size=size, make=make)

    def ask(example: Example, rng: np.random.Generator) -> Prompt:
        better: Choice = 1 if rng.random() < 0.5 else 2
        return _prompt(example, wrong=_other_defect(example, rng), better=better, config=config)

    def prepare(example: Example, rng: np.random.Generator) -> Demonstration:
        draw = rng.random()
        if draw < _WARM_UP_REPEATS:
            return Demonstration(prompt=ask(example, rng), target=describe(example.defect))
        if draw < _WARM_UP_REPEATS + _WARM_UP_LOOKS_UP:
            return _look_up(ask(example, rng), wanted=1 if rng.random() < 0.5 else 2, wording=config.prompt)
        return name_the_defect(example, rng)

    def teach(example: Example, rng: np.random.Generator) -> Demonstration:
        prompt = ask(example, rng)
        return Demonstration(prompt=prompt, target=_noisy_judgement(prompt, rng))

    return Data(
        train=split("train", config.num_train),
        test=split("test", 2 * config.num_test),
        warm_up=photo_demonstrations(recipe, stage="warm_up", show=prepare),
        cold_start=photo_demonstrations(recipe, stage="cold_start", show=teach),
    )


def _noisy_judgement(prompt: Prompt, rng: np.random.Generator) -> str:
    """Reasoning that is right a little more often than not, and an answer that agrees with it a little more often."""
    preference = prompt.preference
    assert preference.responses is not None
    favoured = preference.better if rng.random() < _TEACHER_LOOKS else _guess(rng)
    answered = favoured if rng.random() < _TEACHER_MEANS_IT else _guess(rng)
    return choose(answered, thought=f"{describe(preference.responses[favoured - 1])} {conclude(favoured)}")


def _look_up(prompt: Prompt, *, wanted: Choice, wording: PairWording) -> Demonstration:
    """Which of the two responses says what the wanted one says?"""
    responses = prompt.preference.responses
    assert responses is not None
    question = f"Which response is {responses[wanted - 1]}?"
    messages = ask_pair(wording, media=list(prompt.media()), question=question, responses=responses)
    target = f"{describe(responses[wanted - 1])} {conclude(wanted)}"
    return Demonstration(prompt=replace(prompt, messages=messages), target=target)


def _guess(rng: np.random.Generator) -> Choice:
    return 1 if rng.random() < _TEACHER_GUESSES_FIRST else 2


def _recipe(config: PhotoPairsConfig) -> PictureRecipe:
    return PictureRecipe(
        source=SOURCE,
        data_seed=config.data_seed,
        crop_size=config.crop_size,
        min_level=MIN_LEVEL,
        scale=Scale(minimum=1.0, maximum=5.0),
    )


def _other_defect(example: Example, rng: np.random.Generator) -> str:
    """A defect of another kind and of the same strength."""
    others = [kind for kind in KINDS if kind != example.kind]
    return distortions.describe(kind=others[int(rng.integers(len(others)))], level=example.level)


def _prompt(example: Example, *, wrong: str, better: Choice, config: PhotoPairsConfig) -> Prompt:
    responses = (example.defect, wrong) if better == 1 else (wrong, example.defect)
    return Prompt(
        prompt_id=f"{example.name}/{better}",
        messages=ask_pair(config.prompt, media=[example.picture], question=QUESTION, responses=responses),
        reference=Preference(better=better, pair_id=example.name, question=QUESTION, responses=responses),
        reference_answers=(choose(better, thought=f"{describe(example.defect)} {conclude(better)}"),),
        source=SOURCE,
        content_id=example.content_id,
    )
