"""Published figures that can stand beside ours, and what keeps the others away.

From the tables of R1-Reward (arXiv 2505.02835v2). Left out, because nothing of ours is the same quantity:

* categories and macro mean of VL-RewardBench: those of R1-Reward and MM-RLHF-Reward are by the legacy division, those
  of the general models by the official one, in one table;
* categories of Multimodal RewardBench: "Safety" there is the bias half alone for R1-Reward.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.benchmarks.rows import BenchmarkName


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Accuracies in per cent."""

    judge: str
    overall: float
    all_right: float | None = None
    """Acc+."""
    by_category: Mapping[str, float] | None = None


def _mm_rlhf(judge: str, *figures: float) -> Figures:
    *categories, overall, all_right = figures
    names = ("mcq", "long", "short", "safety", "video")
    return Figures(
        judge=judge, overall=overall, all_right=all_right, by_category=dict(zip(names, categories, strict=True))
    )


PUBLISHED: Mapping[BenchmarkName, tuple[Figures, ...]] = {
    "vl_rewardbench": (
        Figures(judge="GPT-4o", overall=65.80),
        Figures(judge="Gemini-1.5-Pro", overall=67.20),
        Figures(judge="Claude-3.7-Sonnet", overall=66.31),
        Figures(judge="MM-RLHF-Reward 7B", overall=50.15),
        Figures(judge="IXC-2.5-Reward 7B", overall=65.80),
        Figures(judge="R1-Reward 7B", overall=71.92),
        Figures(judge="R1-Reward 7B, Voting@15", overall=76.46),
    ),
    "mm_rlhf_rewardbench": (
        _mm_rlhf("GPT-4o", 64.28, 78.37, 44.11, 56.25, 40.00, 58.23, 26.01),
        _mm_rlhf("Claude-3.7-Sonnet", 66.67, 91.89, 91.18, 87.50, 76.00, 82.35, 65.22),
        _mm_rlhf("IXC-2.5-Reward 7B", 52.38, 91.89, 67.65, 62.50, 88.00, 71.18, 50.00),
        _mm_rlhf("MM-RLHF-Reward 7B", 83.00, 97.00, 74.00, 69.00, 88.00, 82.00, 63.00),
        _mm_rlhf("R1-Reward 7B", 80.95, 89.19, 82.35, 75.00, 72.00, 80.59, 54.35),
        _mm_rlhf("R1-Reward 7B, Voting@15", 83.33, 97.30, 91.18, 78.12, 80.00, 86.47, 67.39),
    ),
    "multimodal_rewardbench": (
        Figures(judge="GPT-4o", overall=70.8),
        Figures(judge="Claude-3.7-Sonnet", overall=71.9),
        Figures(judge="MM-RLHF-Reward 7B", overall=67.1),
        Figures(judge="IXC-2.5-Reward 7B", overall=66.6),
        Figures(judge="R1-Reward 7B", overall=82.2),
        Figures(judge="R1-Reward 7B, Voting@15", overall=83.3),
    ),
}

CAVEATS: Mapping[BenchmarkName, tuple[str, ...]] = {
    "vl_rewardbench": (
        (
            "Published categories and macro means are left out: R1-Reward's are by the legacy division (484/448/318), "
            "those of the general models by the official one (183/749/318)."
        ),
        "The benchmark's own script leaves answers it cannot read out of the denominator; here they are wrong.",
    ),
    "mm_rlhf_rewardbench": (),
    "multimodal_rewardbench": (
        (
            "Published categories are left out: R1-Reward's overall is reproduced by 4,711 pairs whose Safety is the "
            "bias half alone."
        ),
    ),
}
"""What to know before comparing, besides the order."""

ORDER_CAVEAT = (
    "R1-Reward's scripts always show the better answer first, so that a judge that says 1 scores 100 %: beside its "
    'figures stands ours for "better answer first".'
)
