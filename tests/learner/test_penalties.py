"""KL estimators."""

import pytest
import torch

from conf.algorithms import KlEstimator
from learner.penalties import kl_to_reference

EVERY = pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "k3_k2"])


@EVERY
def test_kl_to_itself_is_zero(estimator: KlEstimator) -> None:
    logprobs_BT = -torch.rand(2, 3)
    assert not kl_to_reference(logprobs_BT, logprobs_BT, estimator=estimator).any()


@pytest.mark.parametrize(
    ("estimator", "value", "slope"),
    # x = ln(reference / policy) = -0.5; the slope is with regard to the policy's log-prob.
    [("k1", 0.5, 1.0), ("k2", 0.125, 0.5), ("k3", 0.106531, 0.393469), ("k3_k2", 0.106531, 0.5)],
)
def test_value_and_gradient_half_a_nat_away(estimator: KlEstimator, value: float, slope: float) -> None:
    current = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    kl = kl_to_reference(current, torch.tensor([-1.5], dtype=torch.float64), estimator=estimator)
    (gradient,) = torch.autograd.grad(kl.sum(), current)
    assert (kl.item(), gradient.item()) == pytest.approx((value, slope), abs=1e-6)


@pytest.mark.parametrize(
    ("difference", "value"), [(-0.3, 0.040818), (0.0, 0.0), (0.2, 0.021403), (0.1, 0.005171), (-0.1, 0.004837)]
)
def test_k3_at_the_published_differences(difference: float, value: float) -> None:
    # Refine-IQA's worked example D and VisualQuality-R1's edge values: reference less policy, in nats.
    policy = torch.tensor([-1.0], dtype=torch.float64)
    assert kl_to_reference(policy, policy + difference, estimator="k3").item() == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("estimator", ["k3", "k3_k2"])
def test_k3_of_an_extreme_token_is_bounded(estimator: KlEstimator) -> None:
    kl = kl_to_reference(torch.tensor([-40.0]), torch.tensor([0.0]), estimator=estimator)
    assert float(kl) == pytest.approx(10.0)


def test_the_gradient_of_k2_is_that_of_the_kl_and_those_of_k1_and_k3_are_not() -> None:
    # Expected over the policy's own samples, by summing over a vocabulary of three.
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.1, 0.4, -0.3], dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    (true,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)

    def expected(estimator: KlEstimator) -> torch.Tensor:
        sampled = policy.detach().exp() * kl_to_reference(policy, reference, estimator=estimator)
        (found,) = torch.autograd.grad(sampled.sum(), logits, retain_graph=True)
        return found

    torch.testing.assert_close(expected("k2"), true)
    torch.testing.assert_close(expected("k3_k2"), true)
    torch.testing.assert_close(expected("k1"), torch.zeros(3, dtype=torch.float64))
    assert not torch.allclose(expected("k3"), true)
