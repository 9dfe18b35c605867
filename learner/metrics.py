"""Sums over micro-batches and ranks that become per-token means at the very end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from rollout.families.base import Place

Denominator = Literal["token", "completion", "total"]


@dataclass(kw_only=True, slots=True)
class MetricSums:
    """Additive statistics of one optimizer window: add up, reduce over ranks, then divide once."""

    num_tokens: float = 0.0
    num_completions: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    denominators: dict[str, Denominator] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)

    def count(self, *, tokens: Tensor, completions: Tensor) -> None:
        """Add to what the means are over."""
        self.num_tokens += float(tokens)
        self.num_completions += float(completions)

    def add(self, name: str, total: Tensor, *, per: Denominator = "token") -> None:
        """Add a sum that is reported per token, per completion, or as it is."""
        self.sums[name] = self.sums.get(name, 0.0) + float(total.detach())
        self.denominators[name] = per

    def count_pass(self, places: Sequence[Place]) -> None:
        """Add the tokens a forward pass computes, in how many positions, and those of its rows one by one."""
        prompts = {place.prompt for place in places}
        answered = sum(place.completion.num_tokens for place in places)
        counts = {
            "num": 1,
            "tokens": sum(prompt.num_tokens for prompt in prompts) + answered,
            "alone": sum(place.prompt.num_tokens for place in places) + answered,
            "positions": (1 + max(prompt.row for prompt in prompts)) * max(place.completion.stop for place in places),
        }
        for name, count in counts.items():
            self.add(f"learner/passes/{name}", torch.tensor(count), per="total")

    def maximum(self, name: str, value: Tensor) -> None:
        """Keep the largest value seen; nothing is below 0."""
        self.maxima[name] = max(self.maxima.get(name, 0.0), float(value.detach()))

    def merge(self, other: "MetricSums") -> None:
        """Take in another micro-batch's sums."""
        self.num_tokens += other.num_tokens
        self.num_completions += other.num_completions
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.denominators[name] = other.denominators[name]
        for name, value in other.maxima.items():
            self.maxima[name] = max(self.maxima.get(name, 0.0), value)

    def reduced(self, *, device: torch.device) -> "MetricSums":
        """The same over all ranks; every rank must hold the same names and call this together."""
        names, peaks = sorted(self.sums), sorted(self.maxima)
        kind = torch.float64
        sums = torch.tensor(
            [self.num_tokens, self.num_completions, *(self.sums[n] for n in names)], dtype=kind, device=device
        )
        maxima = torch.tensor([self.maxima[n] for n in peaks], dtype=kind, device=device)
        torch.distributed.all_reduce(sums)
        torch.distributed.all_reduce(maxima, op=torch.distributed.ReduceOp.MAX)
        num_tokens, num_completions, *totals = sums.tolist()
        return MetricSums(
            num_tokens=num_tokens,
            num_completions=num_completions,
            sums=dict(zip(names, totals, strict=True)),
            denominators=dict(self.denominators),
            maxima=dict(zip(peaks, maxima.tolist(), strict=True)),
        )

    def means(self) -> dict[str, float]:
        """Every statistic by name, with the chi-square and effective sample size of the correction."""
        over = {
            "token": max(self.num_tokens, 1.0),
            "completion": max(self.num_completions, 1.0),
            "total": 1.0,
        }
        report = {name: total / over[self.denominators[name]] for name, total in self.sums.items()}
        _describe_weights(report)
        _describe_passes(report)
        return {**report, **self.maxima}


def _describe_weights(report: dict[str, float]) -> None:
    """Turn mean squares into what they are known by; a weight configured to "none" is described by the ratio."""
    square = report.pop("learner/correction/ratio_square_mean", None)
    if square is not None:
        report["learner/correction/chi_square"] = square - 1.0
    square = report.pop("learner/correction/weight_square_mean", None)
    if square is not None:
        mean = report["learner/correction/weight_mean"]
        report["learner/correction/effective_sample_share"] = mean * mean / square if square > 0.0 else 0.0


def _describe_passes(report: dict[str, float]) -> None:
    """Turn what the forward passes held into what one of them holds."""
    num_passes = report.pop("learner/passes/num", None)
    if num_passes is None:
        return
    num_tokens, num_positions, num_alone = (
        report.pop(f"learner/passes/{name}") for name in ("tokens", "positions", "alone")
    )
    report["learner/passes/tokens_mean"] = num_tokens / num_passes
    report["learner/passes/padding_share"] = 1.0 - num_tokens / num_positions
    report["learner/passes/shared_share"] = 1.0 - num_tokens / num_alone
