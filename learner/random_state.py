"""Every random generator of a process, so that a resumed run draws what the first one would have drawn."""

import random
from pathlib import Path

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries below us draw from the global generator
    torch.manual_seed(seed)


def save_random_state(path: Path) -> None:
    """Write the state of all generators."""
    torch.save(
        {
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
        },
        path,
    )


def load_random_state(path: Path) -> None:
    """Restore what ``save_random_state`` wrote."""
    state = torch.load(path, weights_only=False)
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
