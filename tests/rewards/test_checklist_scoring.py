"""Scores of a checklist: VisionReward's worked numbers, gates, soft answers, and answers that are none."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest

from rewards.checklist.answers import NO, YES, Answer, read_reply
from rewards.checklist.published import ALIGNMENT, Published
from rewards.checklist.scoring import ItemScore, compare, mean_of_paper, paper_of_mean, score_answers
from rewards.checklist.weights import Weights, equal_weights
from tests.rewards.checklists import image_answers, make_checklist, published, video_answers

EXACT = 1e-12
MIXED = "YYN" + "YNYYNYYYNYYYYYYNNYYNYYNYNYY"
UNKNOWN, FAILED = Answer(status="unknown", text="maybe"), Answer(status="failed", text="timeout")
A_NO, B_NO = (0, 7, 13, 16, 21, 23), (1, 4, 18, 20, 22, 24)


def score(answers: dict[str, Answer], *, of: Published) -> ItemScore:
    assert of.weights is not None
    return score_answers(answers, checklist=of.checklist, weights=of.weights)


def image(letters: str, *, alignment: float) -> ItemScore:
    return score(image_answers(letters, alignment=alignment), of=published("image_select"))


def video(*no_at: int) -> ItemScore:
    return score(video_answers(no_at), of=published("video_select"))


@pytest.mark.parametrize(
    ("letters", "alignment", "expected"),
    [
        ("Y" * 30, 0.85, 4.538050934543726),
        ("N" * 3 + "Y" * 27, 0.85, 4.163086132275549),
        ("N" * 30, 0.85, -0.16079608497989142),
        (MIXED, 0.7321, 3.4208123281377643),
        ("Y" * 3 + "N" * 27, 0.0, -2.5369059108958987),
        ("Y" * 30, 1.0, 4.891194174010991),
    ],
    ids=["all yes", "gates no", "all no", "mixed", "lowest", "highest"],
)
def test_image_scores_are_those_of_the_released_code(letters: str, alignment: float, expected: float) -> None:
    assert image(letters, alignment=alignment).signed == pytest.approx(expected, abs=EXACT)


def test_the_features_of_the_mixed_example_are_the_published_ones() -> None:
    found = published("image_select")
    by_id = {one.question_id: one for one in image(MIXED, alignment=0.7321).contributions}
    features = [
        0 if by_id[one].status == "closed" else round(by_id[one].signed / by_id[one].weight)  # type: ignore[operator]
        for one in found.file_order[3:]
    ]
    expected = [1, -1, 1, 1, -1, 1, 1, 1, -1, 1, 1, 1, 1, 1, 1, -1, -1, 1, 1, -1, 1, 1, -1, 1, 0, 1, 1]
    assert features == expected


def test_an_answer_that_failed_gives_no_score_where_the_released_code_counts_a_no() -> None:
    answers = image_answers(MIXED, alignment=0.7321)
    twelfth = published("image_select").file_order[12]
    assert score(answers | {twelfth: NO}, of=published("image_select")).signed == pytest.approx(
        3.284906441641502, abs=EXACT
    )
    assert score(answers | {twelfth: FAILED}, of=published("image_select")).signed is None


def test_another_end_marker_changes_no_score() -> None:
    plain = image_answers(MIXED, alignment=0.7321)
    marked = {one: read_reply("yes<|eot_id|>" if answer is YES else "no<|eot_id|>") for one, answer in plain.items()}
    marked[ALIGNMENT] = plain[ALIGNMENT]
    assert score(marked, of=published("image_select")).signed == pytest.approx(3.4208123281377643, abs=EXACT)


def test_without_a_body_the_released_code_leaves_harm_out_and_ours_need_not() -> None:
    letters = "NYY" + "Y" * 25 + "NN"
    answers = image_answers(letters, alignment=0.0)
    off = published("image_select", harm_gate="off")
    released, subjects = (score(answers, of=one) for one in (published("image_select"), off))
    assert released.signed is not None
    assert subjects.signed == pytest.approx(released.signed - 0.012129902293749316 - 0.015129688742038013, abs=EXACT)


def test_gates_can_be_left_out_altogether() -> None:
    found = published("image_select")
    assert found.weights is not None
    answers = image_answers("NNN" + "Y" * 27, alignment=0.85)
    ungated = score_answers(answers, checklist=found.checklist, weights=found.weights, applies_gates=False)
    assert ungated.signed == pytest.approx(4.538050934543726, abs=EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_the_full_image_list_scores_as_its_selection(seed: int) -> None:
    # What the selection left out has weight 0, whatever is answered.
    random = np.random.default_rng(seed)
    full, selected = published("image"), published("image_select")
    answers = {one: YES if random.random() < 0.5 else NO for one in (ALIGNMENT, *full.file_order)}
    of_selected = {one: answers[one] for one in (ALIGNMENT, *selected.file_order)}
    assert score(answers, of=full).signed == score(of_selected, of=selected).signed


@pytest.mark.parametrize(
    ("no_at", "mean"),
    [
        (range(29), -0.21645422762093175),
        ((), 0.21645422762093175),
        (A_NO, 0.05787842334625105),
        (B_NO, 0.1687306963076622),
    ],
    ids=["all no", "all yes", "A", "B"],
)
def test_video_scores_are_those_of_the_released_code(no_at: tuple[int, ...], mean: float) -> None:
    assert video(*no_at).mean == pytest.approx(mean, abs=EXACT)


@pytest.mark.parametrize(("no_at", "paper"), [(A_NO, 3.9778234390241494), (B_NO, 5.585181396964612)])
def test_video_scores_on_the_papers_scale(no_at: tuple[int, ...], paper: float) -> None:
    assert video(*no_at).paper == pytest.approx(paper, abs=EXACT)


def test_comparing_two_videos_is_the_difference_of_their_sums() -> None:
    found = compare(video(*A_NO), video(*B_NO))
    assert found is not None
    assert found.gap == pytest.approx(-3.214715915880922, abs=EXACT)
    assert found.winner == "second"


def test_a_video_ties_with_itself_and_the_released_code_names_the_second() -> None:
    one, other = compare(video(*A_NO), video(*A_NO)), compare(video(*A_NO), video(*A_NO), ties="second")
    assert one is not None
    assert other is not None
    assert (one.gap, one.winner, other.winner) == (0.0, "tie", "second")


def test_nothing_is_compared_with_an_item_without_a_score() -> None:
    unscored = score(
        video_answers(()) | {published("video_select").file_order[3]: UNKNOWN}, of=published("video_select")
    )
    assert compare(unscored, video()) is None


@pytest.mark.parametrize(
    ("no_at", "expected"),
    [
        (A_NO, (1.394216, 0.060194, 0.656078, 0.33865, 0.420213, 0.163428, 0.394181, 0.550863)),
        (B_NO, (2.096209, 0.034957, 0.818947, 1.198429, 0.126008, 0.051738, 0.394181, 0.864713)),
        ((), (2.348606, 0.060194, 0.818947, 1.206891, 0.420213, 0.163428, 0.394181, 0.864713)),
    ],
    ids=["A", "B", "maxima"],
)
def test_dimension_scores_are_the_published_ones(no_at: tuple[int, ...], expected: tuple[float, ...]) -> None:
    names = ("alignment", "composition", "quality", "fidelity", "stability", "dynamic", "physics", "preservation")
    dimensions = video(*no_at).dimensions
    assert [dimensions[name].score for name in names] == pytest.approx(expected, abs=5e-7)


def test_parts_add_up_to_the_score() -> None:
    found = video(*A_NO)
    for parts in (found.dimensions.values(), found.sub_dimensions.values()):
        assert fsum(part.score or 0.0 for part in parts) == pytest.approx(found.paper, abs=EXACT)
    assert fsum(one.paper or 0.0 for one in found.contributions) == found.paper
    assert fsum(one.signed or 0.0 for one in found.contributions) == found.signed


def test_the_papers_overall_score_and_the_codes_are_the_same() -> None:
    weights = published("video_select").weights
    assert weights is not None
    assert mean_of_paper(4.303, weights=weights) == pytest.approx(0.0803043931, abs=5e-11)
    assert paper_of_mean(mean_of_paper(4.303, weights=weights), weights=weights) == pytest.approx(4.303, abs=EXACT)
    assert mean_of_paper(0.6, weights=weights) - mean_of_paper(0.0, weights=weights) == pytest.approx(
        0.0413793, abs=5e-8
    )
    assert mean_of_paper(video(*A_NO).paper or 0.0, weights=weights) == pytest.approx(video(*A_NO).mean, abs=EXACT)


@pytest.mark.parametrize("no_at", [A_NO, B_NO, (), tuple(range(29))])
def test_probabilities_of_zero_and_one_score_as_words(no_at: tuple[int, ...]) -> None:
    soft = {one: Answer(status="ok", p_yes=a.p_yes, mass=0.9) for one, a in video_answers(no_at).items()}
    assert score(soft, of=published("video_select")).mean == video(*no_at).mean


def test_soft_answers_score_their_expectation() -> None:
    checklist = make_checklist({"quality": {"sharpness": 2}})
    weights = Weights(by_id={"quality.sharpness.1": 2.0, "quality.sharpness.2": 4.0})
    answers = {
        "quality.sharpness.1": Answer(status="ok", p_yes=0.25),
        "quality.sharpness.2": Answer(status="ok", p_yes=0.75),
    }
    found = score_answers(answers, checklist=checklist, weights=weights)
    # R = 2/4 + 12/4; S = -2/2 + 4/2.
    assert (found.paper, found.signed, found.mean, found.share) == (3.5, 1.0, 0.5, 3.5 / 6.0)


def test_unknown_answers_to_everything_give_no_score_even_if_they_may_be_left_out() -> None:
    found = published("video_select")
    assert found.weights is not None
    answers = dict.fromkeys(found.file_order, UNKNOWN)
    for unusable in ("no_score", "leave_out"):
        scored = score_answers(answers, checklist=found.checklist, weights=found.weights, unusable=unusable)
        assert (scored.paper, scored.signed, scored.mean, scored.share) == (None, None, None, None)
        assert scored.num_unusable == 29


@pytest.mark.parametrize("bad", [UNKNOWN, FAILED, None], ids=["unknown", "failed", "missing"])
def test_one_unusable_answer_spoils_the_score_and_its_dimension_only(bad: Answer | None) -> None:
    found = published("video_select")
    answers = video_answers(A_NO)
    del answers["physics.physics.4"]
    scored = score(answers if bad is None else answers | {"physics.physics.4": bad}, of=found)
    assert (scored.paper, scored.is_complete, scored.num_unusable) == (None, False, 1)
    assert scored.dimensions["physics"].score is None
    assert scored.dimensions["quality"].score == video(*A_NO).dimensions["quality"].score


def test_an_unusable_answer_may_be_left_out_on_request() -> None:
    found = published("video_select")
    assert found.weights is not None
    answers = video_answers(A_NO) | {"physics.physics.4": UNKNOWN}
    scored = score_answers(answers, checklist=found.checklist, weights=found.weights, unusable="leave_out")
    physics = found.weights.by_id["physics.physics.4"]
    assert scored.paper == pytest.approx(3.9778234390241494 - physics, abs=EXACT)
    assert scored.mean == pytest.approx((29 * 0.05787842334625105 - physics) / 28, abs=EXACT)
    assert not scored.is_complete


def test_an_unusable_answer_without_a_weight_is_no_loss() -> None:
    full, selected = published("image"), published("image_select")
    answers = dict.fromkeys((ALIGNMENT, *full.file_order), YES)
    unweighted = next(one for one, weight in (full.weights or Weights(by_id={})).by_id.items() if weight == 0.0)
    scored = score(answers | {unweighted: UNKNOWN}, of=full)
    assert (scored.num_unusable, scored.is_complete) == (1, True)
    assert scored.signed == image("Y" * 30, alignment=1.0).signed
    assert selected.weights is not None
    assert unweighted not in selected.weights.by_id


GATED = make_checklist({"fidelity": {"face": 2}, "quality": {"sharpness": 1}}, gates={"a_face": ("fidelity.face.1",)})


def gated(gate: Answer, *, applies_gates: bool = True) -> ItemScore:
    answers = dict.fromkeys(GATED.ids, YES) | {"a_face": gate}
    return score_answers(answers, checklist=GATED, weights=equal_weights(GATED), applies_gates=applies_gates)


def test_a_closed_question_counts_for_nothing_and_the_share_ignores_it() -> None:
    found = gated(NO)
    assert (found.paper, found.signed, found.share) == pytest.approx((2 / 3, 2 / 3, 1.0))
    assert (found.num_counted, found.num_closed, found.is_complete) == (2, 1, True)


def test_a_closed_question_needs_no_answer() -> None:
    answers = {"a_face": NO, "fidelity.face.2": YES, "quality.sharpness.1": YES}
    assert score_answers(answers, checklist=GATED, weights=equal_weights(GATED)).share == 1.0


def test_a_gate_without_an_answer_leaves_its_questions_unusable() -> None:
    found = gated(UNKNOWN)
    assert found.paper is None
    assert [one.status for one in found.contributions] == ["gate_unusable", "counted", "counted"]
    assert gated(UNKNOWN, applies_gates=False).share == pytest.approx(1.0)


@pytest.mark.parametrize(("p_yes", "num_closed"), [(0.5, 1), (0.500001, 0)])
def test_a_gate_opens_where_yes_is_likelier(p_yes: float, num_closed: int) -> None:
    assert gated(Answer(status="ok", p_yes=p_yes)).num_closed == num_closed


def test_the_order_of_the_answers_changes_nothing() -> None:
    answers = image_answers(MIXED, alignment=0.7321)
    assert score(dict(reversed(answers.items())), of=published("image_select")) == image(MIXED, alignment=0.7321)


def test_scores_are_linear_in_the_weights() -> None:
    found = published("video_select")
    assert found.weights is not None
    doubled = replace(found.weights, by_id={one: 2.0 * weight for one, weight in found.weights.by_id.items()})
    twice = score_answers(video_answers(A_NO), checklist=found.checklist, weights=doubled)
    assert (twice.paper, twice.mean) == (2.0 * (video(*A_NO).paper or 0.0), 2.0 * (video(*A_NO).mean or 0.0))
    assert twice.share == video(*A_NO).share


def test_an_answer_to_no_question_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1 answers are to no question of checklist small.*did you mean"):
        score_answers({"quality.sharpnes.1": YES}, checklist=GATED, weights=equal_weights(GATED))


def test_weights_of_another_checklist_are_refused() -> None:
    with pytest.raises(ValueError, match="have no weight"):
        score_answers({}, checklist=GATED, weights=Weights(by_id={"quality.sharpness.1": 1.0}))
