"""What gives a score away, in digits and in words, and what only sounds like it."""

import pytest

from rollout.datasets.leaks import gives_score_away
from rollout.types import Opinion, Scale

ONE_TO_FIVE = Scale(minimum=1.0, maximum=5.0)
ZERO_TO_ONE = Scale(minimum=0.0, maximum=1.0)


def leaks(text: str, score: float, scale: Scale = ONE_TO_FIVE) -> bool:
    return gives_score_away(text, opinion=Opinion(score=score, scale=scale))


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("It is three point five.", 3.5),
        ("Three-point-five it is", 3.5),
        ("three point four two", 3.42),
        ("three point forty-two", 3.42),
        ("three point oh five", 3.05),
        ("3 point 5", 3.5),
        ("three and a half", 3.5),
        ("three-and-a-half", 3.5),
        ("two and three quarters", 2.75),
        ("four out of five", 4.1),
        ("a four-star picture", 4.2),
        ("Three stars.", 3.0),
        ("three on a scale from one to five", 3.2),
        ("I would give it a four overall", 4.2),
        ("A rating of four.", 4.2),
        ("It rates close to four, I think", 3.9),
        ("It deserves four", 3.9),
        ("Verdict: four.", 4.2),
        ("Strong. Four.", 4.2),
        ("a solid four", 4.2),
        ("one out of five", 1.1),
        ("It scores one.", 1.1),
        ("sixty-one percent", 3.42),  # 60.5 %, halves up
        ("sixty per cent", 3.42),  # and to even
    ],
)
def test_the_score_in_words_is_found(text: str, score: float) -> None:
    assert leaks(text, score)


@pytest.mark.parametrize(
    ("text", "score"), [("zero point eight five", 0.85), ("point eight", 0.8), ("eighty-five percent", 0.85)]
)
def test_the_score_in_words_is_found_on_another_scale(text: str, score: float) -> None:
    assert leaks(text, score, ZERO_TO_ONE)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("one of the windows", 1.1),
        ("This is a good one, all in all.", 1.1),
        ("no one is there", 1.1),
        ("one might say", 1.1),
        ("gives one the impression", 1.1),
        ("gives one of the best views", 1.1),
        ("two figures, four birds", 4.1),
        ("a group of four people.", 4.1),
        ("three trees stand at three corners", 3.1),
        ("three stars in the night sky", 3.0),
        ("two points of light", 2.0),
        ("on a five-point scale", 5.0),
        ("At one point, four birds rise", 4.1),
        ("the rule of thirds", 3.0),
        ("worth four hours of anyone's time", 4.0),
        ("someone and something", 1.0),
        ("three point five", 4.5),
        ("four out of five", 2.5),
    ],
)
def test_words_that_count_or_point_give_nothing_away(text: str, score: float) -> None:
    assert not leaks(text, score)


@pytest.mark.parametrize("text", ["a memorable one.", "the focal point one notices", "ten out of ten windows"])
def test_words_that_count_or_point_give_nothing_away_on_another_scale(text: str) -> None:
    assert not leaks(text, 0.1 if "point" in text else 0.93, ZERO_TO_ONE)


@pytest.mark.parametrize(
    ("score", "given_away", "not_given_away"),
    [
        (2.5, ("2", "3", "2.5"), ("4",)),  # to even, and up
        (3.5, ("4",), ("3",)),  # both rules agree
        (3.25, ("3.2", "3.3"), ("3.1", "3.4")),
        (3.445, ("3.44", "3.45"), ("3.43", "3.46")),
        (3.4449999999999998, ("3.44", "3.45"), ("3.46",)),  # the same half, lost by floating point
        (2.675, ("2.68", "2.67"), ("2.69",)),  # shown to the writer as 2.67, since it is stored a little lower
        (3.444, ("3.44",), ("3.45",)),
    ],
)
def test_halves_are_rounded_up_and_to_even(
    score: float, given_away: tuple[str, ...], not_given_away: tuple[str, ...]
) -> None:
    found = {text: leaks(f"It is {text} here", score) for text in (*given_away, *not_given_away)}
    assert found == {**dict.fromkeys(given_away, True), **dict.fromkeys(not_given_away, False)}
