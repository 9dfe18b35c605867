"""Yes/no questions about distorted photographs: how they are asked, what is right, how answers are balanced."""

from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from conf.data import PhotoChecklistConfig
from conf.load import load_run_config
from evaluation.checklist.asking import ChecklistQuestioner
from evaluation.scoring.items import Item
from rollout.checklist.load import look_up
from rollout.datasets.base import Data
from rollout.datasets.distortions import EASY_KINDS, MAX_LEVEL
from rollout.datasets.photo_checklist import CHECKLIST, FAULTS, Fault, build_photo_checklist, draw_state
from rollout.datasets.photographs import TEST_NAMES
from rollout.types import Failure, Prompt

IDS = look_up(CHECKLIST).ids
ROUND = 2 * len(IDS)


def _data(**changes: object) -> Data:
    values = {"kind": "photo_checklist", "crop_size": 56, "num_train": 2 * ROUND, "num_test": 4 * ROUND}
    prompt = "[[question]] Answer yes or no."
    return build_photo_checklist(
        PhotoChecklistConfig.model_validate({**values, "prompt": prompt, "data_seed": 0, **changes})
    )


@pytest.fixture(scope="module")
def trained() -> list[Prompt]:
    data = _data()
    return [data.train.prompt(index) for index in range(len(data.train))]


@pytest.fixture(scope="module")
def tested() -> list[Prompt]:
    data = _data()
    return [data.test.prompt(index) for index in range(len(data.test))]


def test_two_builds_give_the_same_prompts(trained: list[Prompt]) -> None:
    again = _data(num_train=8).train
    assert [again.prompt(index) for index in range(8)] == trained[:8]


def test_another_data_seed_gives_other_pictures(trained: list[Prompt]) -> None:
    assert next(_data(data_seed=1).train.prompt(0).media()).data != next(trained[0].media()).data


def test_every_question_has_as_many_yeses_as_noes(trained: list[Prompt], tested: list[Prompt]) -> None:
    for prompts, count in ((trained, 2), (tested, 4)):
        cells = Counter((prompt.check.question_id, prompt.check.is_yes) for prompt in prompts)
        assert cells == dict.fromkeys(product(IDS, (True, False)), count)


def test_the_photograph_tells_neither_the_question_nor_the_answer(tested: list[Prompt]) -> None:
    cells = Counter((prompt.content_id, prompt.check.question_id, prompt.check.is_yes) for prompt in tested)
    assert cells == dict.fromkeys(product(TEST_NAMES, IDS, (True, False)), 1)


def test_the_test_shows_photographs_that_training_does_not(trained: list[Prompt]) -> None:
    assert not {prompt.content_id for prompt in trained} & set(TEST_NAMES)


def test_a_question_is_put_as_a_trained_judge_is_asked_it(trained: list[Prompt], tmp_path: Path) -> None:
    config = load_run_config(["checklist=distortions"])
    assert config.checklist is not None
    checklist = look_up(config.checklist.questions)
    questioner = ChecklistQuestioner(
        checklist=checklist,
        wording=config.checklist.wording,
        prompt=None,
        video=config.benchmark.video,
        frames=config.checklist.frames,
    )
    path = tmp_path / "picture.png"
    path.write_bytes(next(trained[0].media()).data or b"")
    asked = questioner.prompts(Item(item_id="picture", path=str(path)))
    assert not isinstance(asked, Failure)
    texts = {one.id: prompt.messages[0].content[1:] for one, prompt in zip(checklist.asked, asked, strict=True)}
    for prompt in trained:
        (message,) = prompt.messages
        assert (message.role, message.content[1:]) == ("user", texts[prompt.check.question_id])
        assert not prompt.wants_thinking


def test_every_question_of_the_checklist_has_a_fault_and_every_easy_kind_two() -> None:
    assert set(FAULTS) == set(IDS)
    assert Counter(fault.kind for fault in FAULTS.values()) == dict.fromkeys(EASY_KINDS, 2)


def test_the_stricter_question_of_a_kind_stands_first_and_is_harder_to_say_yes_to() -> None:
    for dimension in look_up(CHECKLIST).dimensions:
        for sub in dimension.sub_dimensions:
            strict, mild = (FAULTS[one.id] for one in sub.questions)
            assert sub.is_graded
            assert strict.kind == mild.kind
            assert strict.least_level < mild.least_level


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [("haze", 4, True), ("haze", 5, True), ("haze", 3, False), ("tint", 5, False), ("haze", 0, False)],
)
def test_a_strong_distortion_of_its_own_kind_is_the_fault(*, kind: str, level: int, expected: bool) -> None:
    assert FAULTS["haze_mild"].is_in(kind=kind, level=level) == expected


@pytest.mark.parametrize("question", IDS)
def test_a_picture_has_the_fault_where_the_answer_is_no_and_only_there(question: str) -> None:
    rng, fault = np.random.default_rng(0), FAULTS[question]
    for is_yes in (True, False):
        for _ in range(100):
            kind, level = draw_state(fault, is_yes=is_yes, rng=rng)
            assert fault.is_in(kind=kind, level=level) != is_yes


def test_half_of_the_yeses_to_strength_show_the_same_kind_only_weaker() -> None:
    rng = np.random.default_rng(0)
    states = [draw_state(Fault(kind="haze", least_level=4), is_yes=True, rng=rng) for _ in range(600)]
    weaker = [level for kind, level in states if kind == "haze"]
    # 300 expected, standard deviation 12.
    assert 250 < len(weaker) < 350
    assert set(weaker) == {1, 2, 3}
    assert {level for kind, level in states if kind != "haze"} == set(range(MAX_LEVEL + 1))


def test_the_teacher_is_right_for_three_of_four_and_says_one_word() -> None:
    cold_start = _data().cold_start
    assert cold_start is not None
    shown = [cold_start.demonstration(index) for index in range(400)]
    assert {one.target for one in shown} == {"yes", "no"}
    # 300 expected, standard deviation 8.7.
    assert 265 < sum(one.target == one.prompt.check.word for one in shown) < 335


def test_the_warm_up_names_the_defect() -> None:
    warm_up = _data().warm_up
    assert warm_up is not None
    assert all(warm_up.demonstration(index).target.startswith("This picture shows ") for index in range(5))


def test_crops_larger_than_a_photograph_are_refused_when_built() -> None:
    with pytest.raises(ValueError, match=r"data\.crop_size=308 is larger than the photograph"):
        _data(crop_size=308)


def test_a_wording_without_its_question_is_refused() -> None:
    with pytest.raises(ValueError, match=r"prompt must hold \[\[question\]\] once"):
        _data(prompt="Answer yes or no.")


@pytest.mark.parametrize("index", [-1, 2 * ROUND])
def test_an_index_outside_the_split_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match=r"photo_checklist/train has entries 0\.\.63"):
        _data().train.prompt(index)
