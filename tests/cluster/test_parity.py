"""The parity gate names what differs between engine and trainer."""

import numpy as np
import pytest

from cluster.parity import ParityError, compare, scoring_requests
from learner.types import TrainerScore
from rollout.worker_types import EngineView
from tests.builders import make_group

GRIDS = ((1, 4, 6),)


def view(*, grids: tuple[tuple[int, ...], ...] = GRIDS) -> EngineView:
    group = make_group(["ab", "abc"])
    return EngineView(group=group, media_grids=grids)


def scores(*, shift: float = 0.0, prompt: list[int] | None = None) -> list[TrainerScore]:
    ids = [0, 1, 2, 3] if prompt is None else prompt
    return [
        TrainerScore(
            logprobs=np.full(size, -1.0 + shift, dtype=np.float32),
            prompt_token_ids=np.array(ids, dtype=np.int64),
            num_media_tokens=6,
            media_grids=GRIDS,
        )
        for size in (2, 3)
    ]


def test_sides_that_agree_pass_and_are_measured() -> None:
    report = compare([view()], scores(shift=5e-4), bound=1e-3)
    assert report.num_tokens == 5
    assert report.max_difference == pytest.approx(5e-4, rel=1e-3)


def test_every_completion_is_asked_about() -> None:
    assert [len(request.token_ids) for request in scoring_requests([view()])] == [2, 3]


def test_a_difference_above_the_bound_names_prompt_and_token() -> None:
    one = scores()
    one[1].logprobs[2] = -1.5
    with pytest.raises(ParityError, match=r"differ by 0\.5 nats, bound 0\.001 .*completion 1, token 2 of 3"):
        compare([view()], one, bound=1e-3)


def test_a_logprob_that_is_not_a_number_fails() -> None:
    one = scores()
    one[0].logprobs[0] = np.nan
    with pytest.raises(ParityError):
        compare([view()], one, bound=1e-3)


def test_a_different_number_of_prompt_tokens_is_named() -> None:
    with pytest.raises(ParityError, match="4 tokens in the engine and 5 in the trainer"):
        compare([view()], scores(prompt=[0, 1, 2, 3, 4]), bound=1e-3)


def test_the_first_different_prompt_token_is_named() -> None:
    with pytest.raises(ParityError, match="differs at token 2: engine 2, trainer 9"):
        compare([view()], scores(prompt=[0, 1, 9, 3]), bound=1e-3)


def test_different_media_grids_are_named() -> None:
    with pytest.raises(ParityError, match=r"media grids \(\(1, 2, 2\),\) beside the engine"):
        compare([view(grids=((1, 2, 2),))], scores(), bound=1e-3)
