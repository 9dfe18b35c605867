"""The synthetic preferences of the specification, on which three fits were published to three decimals."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

TRUE_WEIGHTS = np.array([1.2, 0.8, 0.5, 0.3, 0.0, -0.4])
NUM_PAIRS = 3000


def toy_differences() -> Array:
    """Preferred minus other, ``[3000, 6]``; question 6 repeats question 1 in 70 % of the items."""
    random = np.random.default_rng(0)
    items = [random.integers(0, 2, size=(NUM_PAIRS, len(TRUE_WEIGHTS))) for _ in range(2)]
    for answers_NQ in items:
        repeats_N = random.random(NUM_PAIRS) < 0.7
        answers_NQ[repeats_N, 5] = answers_NQ[repeats_N, 0]
    differences_NQ = (items[0] - items[1]).astype(np.float64)
    is_first_better_N = random.random(NUM_PAIRS) < expit(differences_NQ @ TRUE_WEIGHTS)
    return np.asarray(np.where(is_first_better_N[:, None], differences_NQ, -differences_NQ), dtype=np.float64)
