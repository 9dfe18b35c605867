"""Pairs of descriptions of distorted photographs: what is asked in which order, and what the noisy teacher shows."""

import re
from collections import Counter

import pytest

from conf.data import PhotoPairsConfig
from rollout.datasets.base import Data
from rollout.datasets.distorted_photographs import KINDS
from rollout.datasets.distortions import KIND_WORDS, LEVEL_WORDS
from rollout.datasets.on_demand import NUM_DEMONSTRATIONS
from rollout.datasets.pair_questions import conclude
from rollout.datasets.photo_pairs import MIN_LEVEL, QUESTION, build_photo_pairs
from rollout.datasets.photographs import TEST_NAMES
from rollout.datasets.questions import describe
from rollout.datasets.traces import shown_choice
from rollout.types import Demonstration, Preference, Prompt

NUM_SHOWN = 300
KIND_OF_WORD = {word: kind for kind, word in KIND_WORDS.items()}


def _config(**changes: object) -> PhotoPairsConfig:
    values = {"kind": "photo_pairs", "crop_size": 56, "num_train": 40, "num_test": 16, "prompt": "pairwise_brief"}
    return PhotoPairsConfig.model_validate({**values, "data_seed": 0, **changes})


def _data(**changes: object) -> Data:
    return build_photo_pairs(_config(**changes))


def _trained(data: Data) -> list[Prompt]:
    return [data.train.prompt(index) for index in range(len(data.train))]


def _tested(data: Data) -> list[Prompt]:
    return [data.test.prompt(index) for index in range(len(data.test))]


def _png(prompt: Prompt) -> bytes:
    (media,) = prompt.media()
    assert media.data is not None
    return media.data


def _right_and_wrong(pair: Preference) -> tuple[str, str]:
    assert pair.responses is not None
    return pair.responses[pair.better - 1], pair.responses[2 - pair.better]


@pytest.fixture(scope="module")
def shown() -> list[Demonstration]:
    cold_start = _data().cold_start
    assert cold_start is not None
    return [cold_start.demonstration(index) for index in range(NUM_SHOWN)]


def test_the_reference_answer_chooses_and_describes_the_right_one() -> None:
    for prompt in _trained(_data()):
        (reference,) = prompt.reference_answers
        right, wrong = _right_and_wrong(prompt.preference)
        assert shown_choice(reference) == prompt.preference.better
        assert describe(right) in reference
        assert describe(wrong) not in reference


def test_two_builds_give_the_same_questions() -> None:
    assert _trained(_data()) == _trained(_data())
    assert _tested(_data()) == _tested(_data())


def test_the_first_questions_do_not_depend_on_how_many_there_are() -> None:
    assert _trained(_data(num_train=2)) == _trained(_data())[:2]


def test_another_data_seed_gives_other_questions() -> None:
    assert not {_png(prompt) for prompt in _tested(_data())} & {_png(prompt) for prompt in _tested(_data(data_seed=1))}


def test_the_better_answer_comes_first_in_every_second_training_question() -> None:
    assert [prompt.preference.better for prompt in _trained(_data())] == [1, 2] * 20


def test_each_training_pair_is_asked_once() -> None:
    prompts = _trained(_data())
    assert len({prompt.preference.pair_id for prompt in prompts}) == len({_png(prompt) for prompt in prompts}) == 40


def test_each_test_pair_is_asked_in_both_orders_about_one_picture() -> None:
    prompts = _tested(_data())
    assert len(prompts) == 32
    for one, other in zip(prompts[::2], prompts[1::2], strict=True):
        assert (one.preference.better, other.preference.better) == (1, 2)
        assert one.preference.pair_id == other.preference.pair_id
        assert one.preference.responses == (other.preference.responses or ())[::-1]
        assert _png(one) == _png(other)


def test_the_test_shows_photographs_that_no_other_stage_shows() -> None:
    data = _data()
    assert {prompt.content_id for prompt in _tested(data)} == set(TEST_NAMES)
    assert not {prompt.content_id for prompt in _trained(data)} & set(TEST_NAMES)


def test_every_stage_makes_pictures_of_its_own() -> None:
    data = _data()
    assert data.warm_up is not None
    assert data.cold_start is not None
    prompts = [data.train.prompt(0), data.test.prompt(0)]
    prompts += [phase.demonstration(0).prompt for phase in (data.warm_up, data.cold_start)]
    assert len({_png(prompt) for prompt in prompts}) == 4


def test_the_wrong_answer_names_another_kind_of_the_same_strength() -> None:
    for prompt in [*_trained(_data()), *_tested(_data())]:
        right, wrong = (text.split(" ", maxsplit=1) for text in _right_and_wrong(prompt.preference))
        assert right[0] == wrong[0]
        assert right[1] != wrong[1]
        assert {KIND_OF_WORD[right[1]], KIND_OF_WORD[wrong[1]]} <= set(KINDS)


def test_every_defect_can_be_seen() -> None:
    levels = {_right_and_wrong(prompt.preference)[0].split()[0] for prompt in _trained(_data(num_train=80))}
    assert levels == set(LEVEL_WORDS[MIN_LEVEL:])


def test_the_right_answer_is_what_the_warm_up_would_say() -> None:
    data = _data()
    assert data.warm_up is not None
    targets = {data.warm_up.demonstration(index).target for index in range(200)}
    said = {describe(_right_and_wrong(prompt.preference)[0]) for prompt in _trained(data)}
    assert said <= targets


def test_the_warm_up_names_the_defect_repeats_it_or_looks_a_response_up() -> None:
    warm_up = _data().warm_up
    assert warm_up is not None
    kinds = Counter(_kind_of_warm_up(warm_up.demonstration(index)) for index in range(NUM_SHOWN))
    assert all(kinds[kind] > NUM_SHOWN / 5 for kind in ("names", "repeats", "looks up"))


def _kind_of_warm_up(shown: Demonstration) -> str:
    """Which of the three it is, after a look at whether it is right."""
    text = str(shown.prompt.messages[0].content[1])
    if not isinstance(shown.prompt.reference, Preference):
        assert text == "Please describe the quality of this image."
        return "names"
    if text.startswith(QUESTION):
        assert shown.target == describe(_right_and_wrong(shown.prompt.reference)[0])
        return "repeats"
    first, second = shown.prompt.reference.responses or ("", "")
    wanted = text.removeprefix("Which response is ").partition("?")[0]
    assert shown.target == f"{describe(wanted)} {conclude(1 if wanted == first else 2)}"
    assert wanted in (first, second)
    return "looks up"


def test_the_question_shows_the_answers_in_their_order() -> None:
    prompt = _data().train.prompt(3)
    text = prompt.messages[0].content[1]
    assert prompt.preference.responses is not None
    first, second = prompt.preference.responses
    assert isinstance(text, str)
    assert text.startswith(f"{QUESTION}\nResponse 1: {first}\nResponse 2: {second}\n")


@pytest.mark.parametrize("wording", ["pairwise", "pairwise_brief"])
def test_the_cold_start_asks_in_the_configured_wording(wording: str) -> None:
    data = _data(prompt=wording)
    assert data.cold_start is not None
    asked = [data.cold_start.demonstration(0).prompt, data.train.prompt(0)]
    openings = [str(prompt.messages[0].content[1]).splitlines()[0] for prompt in asked]
    assert openings[0] == openings[1]


def test_demonstrations_have_the_form_that_is_rewarded(shown: list[Demonstration]) -> None:
    for one in shown:
        assert shown_choice(one.target) is not None


def test_a_demonstration_concludes_for_the_answer_it_describes(shown: list[Demonstration]) -> None:
    for one in shown:
        first, second = one.prompt.preference.responses or ("", "")
        thoughts = [f"{describe(first)} {conclude(1)}", f"{describe(second)} {conclude(2)}"]
        assert any(one.target.startswith(f"<think>{thought}</think>") for thought in thoughts)


def test_either_answer_is_right_in_half_of_the_demonstrations(shown: list[Demonstration]) -> None:
    counts = Counter(one.prompt.preference.better for one in shown)
    # 150 expected, standard deviation 8.7.
    assert counts[1] == pytest.approx(NUM_SHOWN / 2, abs=40)


def test_the_teacher_is_better_than_chance_and_leaves_something_to_learn(shown: list[Demonstration]) -> None:
    share_right = sum(shown_choice(one.target) == one.prompt.preference.better for one in shown) / NUM_SHOWN
    assert 0.5 < share_right < 0.75


def test_the_teacher_favours_the_first_answer(shown: list[Demonstration]) -> None:
    assert sum(shown_choice(one.target) == 1 for one in shown) > 0.6 * NUM_SHOWN


def test_the_teacher_does_not_always_answer_what_it_concluded(shown: list[Demonstration]) -> None:
    concluded = [re.search(r"Response ([12]) is better", one.target) for one in shown]
    agrees = [str(shown_choice(one.target)) == (found or [""])[1] for one, found in zip(shown, concluded, strict=True)]
    assert 0 < agrees.count(False) < NUM_SHOWN / 2


def test_demonstrations_hardly_ever_come_again() -> None:
    cold_start = _data().cold_start
    assert cold_start is not None
    assert len(cold_start) == NUM_DEMONSTRATIONS
    assert _png(cold_start.demonstration(NUM_DEMONSTRATIONS - 1).prompt) != _png(cold_start.demonstration(0).prompt)


def test_crops_larger_than_a_photograph_are_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"data\.crop_size=308 is larger than the photograph .* use at most 280"):
        _data(crop_size=308)


@pytest.mark.parametrize("index", [-1, 32])
def test_an_index_outside_the_split_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"photo_pairs/test has entries 0\.\.31"):
        _data().test.prompt(index)
