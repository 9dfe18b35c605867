"""What benches time is the gradient itself, the same in every layout and however it is cut into passes."""

import numpy as np
import pytest

from learner.plain_passes import PlainPasses
from learner.rows import Row
from rollout.families.base import Layout
from tests.learner.builders import make_family, make_picture_prompt


@pytest.mark.parametrize("layout", ["shared", "padded"])
def test_a_gradient_is_the_same_in_every_layout_and_in_any_number_of_passes(model_folder: str, layout: Layout) -> None:
    family = make_family(model_folder)
    prompt = family.encode(make_picture_prompt(0))
    rows = [Row(prompt=prompt, completion=np.arange(5, 5 + length, dtype=np.int32)) for length in (4, 2, 3)]
    expected = PlainPasses(family, layout="padded").gradient(rows, per_pass=1)
    passes = PlainPasses(family, layout=layout)
    assert expected.size == passes.num_parameters
    assert np.abs(expected).max() > 0.0
    for per_pass in (1, 2, 3):
        difference = np.linalg.norm(passes.gradient(rows, per_pass=per_pass) - expected)
        assert difference <= 1e-5 * np.linalg.norm(expected)
