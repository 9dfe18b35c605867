"""The KL to the reference, ``[B, T]`` nats: as a term of the loss, or as a number to take from the reward."""

from torch import Tensor

from conf.algorithms import KlEstimator

MAX_LOG_RATIO = 20.0
"""Log-ratios are clamped to this before exp."""
MAX_K3 = 10.0
"""Largest value of one token's k3."""


def kl_to_reference(current_BT: Tensor, reference_BT: Tensor, *, estimator: KlEstimator) -> Tensor:
    """Estimate KL(policy || reference) at each sampled token, with the estimator's own gradient.

    k1 is unbiased and may be negative, k3 never is and varies less. Differentiated, k2 has the KL's true gradient
    on-policy, k3 a biased one, and k1 none on average; ``k3_k2`` is k3 in value and k2 in gradient.
    """
    x = reference_BT.detach() - current_BT
    match estimator:
        case "k1":
            return -x
        case "k2":
            return 0.5 * x.square()
        case "k3":
            return _k3(x)
        case "k3_k2":
            k2 = 0.5 * x.square()
            return k2 + (_k3(x.detach()) - k2.detach())


def _k3(x: Tensor) -> Tensor:
    bounded = x.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return (bounded.exp() - 1.0 - bounded).clamp(max=MAX_K3)
