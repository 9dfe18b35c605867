"""What the tokens alone allow sharing to save."""

import pytest

from cluster.bench.learner import Case


@pytest.mark.parametrize(("text", "saved"), [("1024/128/8", 4.5), ("2048/128/16", 8.5), ("300/32/1", 1.0)])
def test_a_shared_prompt_saves_the_tokens_of_all_its_other_copies(text: str, saved: float) -> None:
    assert Case.read(text).saved == pytest.approx(saved)
    assert str(Case.read(text)) == text
