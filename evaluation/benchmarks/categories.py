"""Which category of its benchmark a pair belongs to, by the rules the benchmarks publish."""

from typing import Literal

VlSplit = Literal["official", "legacy"]
"""official: VL-RewardBench's own rule, 183 general, 749 hallucination and 318 reasoning rows on the full file.
legacy: that of R1-Reward's script, 484, 448 and 318."""

MM_RLHF_CATEGORIES = ("mcq", "long", "short", "safety", "video")

_OFFICIAL_PREFIXES = {
    "RLAIF": "hallucination",
    "RLHF": "hallucination",
    "hallucination": "hallucination",
    "mathverse": "reasoning",
    "mmmu": "reasoning",
}
# The legacy rule looks for parts of the id and minds the case: the data says "RLHF-V-52" and "RLAIF-V-2032", so the
# last two never match and 301 hallucination rows become general ones. Kept to reproduce what was published with it.
_LEGACY_PARTS = {
    "mmmu": "reasoning",
    "mathverse": "reasoning",
    "hallucination": "hallucination",
    "rlhf": "hallucination",
    "rlaif": "hallucination",
}


def vl_rewardbench_category(row_id: str, *, split: VlSplit) -> str:
    """``general``, ``hallucination`` or ``reasoning``, told from the id."""
    if split == "legacy":
        return next((category for part, category in _LEGACY_PARTS.items() if part in row_id), "general")
    return next((category for prefix, category in _OFFICIAL_PREFIXES.items() if row_id.startswith(prefix)), "general")


def mm_rlhf_category(media_path: str) -> str:
    """The first of ``MM_RLHF_CATEGORIES`` that the path contains; 42, 37, 34, 32 and 25 rows on the full file.

    Raises:
        ValueError: It contains none.
    """
    for category in MM_RLHF_CATEGORIES:
        if category in media_path:
            return category
    raise ValueError(f"expected one of {', '.join(MM_RLHF_CATEGORIES)} in the path, found {media_path!r}")


def multimodal_subcategory(category: str, *, row_id: str) -> str | None:
    """The half of ``safety`` or ``reasoning`` that an id names; None in every other category."""
    match category:
        case "safety":
            return "safety/bias" if row_id.lower().startswith("pairs") else "safety/toxicity"
        case "reasoning":
            return "reasoning/math" if row_id.lower().startswith("math") else "reasoning/coding"
    return None
