"""Small benchmarks without pictures, and judges of known behaviour."""

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from conf.data import VideoConfig
from evaluation.benchmarks.answers import Answer
from evaluation.benchmarks.load import Benchmark
from evaluation.benchmarks.questions import JudgeRequest, Orders, Plan, plan_questions, plan_requests, stable_hash
from evaluation.benchmarks.rows import BenchmarkName, BenchmarkRow
from evaluation.benchmarks.summary import BenchmarkReport, Judgement, collect, summarise
from rollout.types import Choice, Media
from tests.builders import make_choice

SHARED = Path(__file__).parents[3] / "shared/data/r1_reward"
FEW_FRAMES = VideoConfig(fps=2.0, max_frames=32, max_pixels=501_760, total_pixels=None)

Decide = Callable[[JudgeRequest], Choice | str]


def make_row(
    index: int,
    *,
    row_id: str | None = None,
    category: str = "general",
    subcategory: str | None = None,
    better: Choice = 1,
) -> BenchmarkRow:
    """A pair whose answers name themselves."""
    return BenchmarkRow(
        row_id=f"row-{index}" if row_id is None else row_id,
        index=index,
        where=f"pairs.jsonl:{index + 1}",
        question="Which animal?",
        responses=("a cat", "a dog"),
        better=better,
        media_kind="image",
        media_path="cat.png",
        category=category,
        subcategory=subcategory,
        fields={"id": f"row-{index}" if row_id is None else row_id, "kept": "as it was"},
    )


def make_benchmark(rows: Sequence[BenchmarkRow], *, name: BenchmarkName = "vl_rewardbench") -> Benchmark:
    """Rows of a file that need not exist."""
    return Benchmark(
        name=name,
        path=Path("pairs.jsonl"),
        sha256="0" * 64,
        split="official",
        rows=tuple(rows),
        media={row.media_path: Media(kind="image", path=row.media_path) for row in rows},
    )


def make_plan(*, orders: Orders = "both", num_votes: int = 1, seed: int = 0) -> Plan:
    """The brief wording keeps messages readable."""
    return Plan(orders=orders, num_votes=num_votes, seed=seed, wording="pairwise_brief")


def make_reply(key: str, text: str) -> Answer:
    """An answer as an engine would give it."""
    return Answer(key=key, text=text, finish_reason="stop", error=None, num_tokens=len(text), seconds=0.5)


def make_failure(key: str) -> Answer:
    """A request that came to nothing."""
    return Answer(key=key, text=None, finish_reason=None, error="HTTP 503", num_tokens=None, seconds=0.5)


def always_first(_request: JudgeRequest) -> Choice:
    """The worst position bias."""
    return 1


def always_right(request: JudgeRequest) -> Choice:
    """A judge without fault."""
    return request.prompt.preference.better


def coin(request: JudgeRequest) -> Choice:
    """A judge without an idea."""
    return 1 if stable_hash("coin", request.key) % 2 else 2


class ScriptedAnswerer:
    """Answers every request as ``decide`` says, and remembers what it was asked; a text "FAIL" is a failure."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self.asked: list[str] = []

    async def answer(self, requests: Sequence[JudgeRequest]) -> AsyncGenerator[Answer, None]:
        """One answer at a time, in order."""
        for request in requests:
            self.asked.append(request.key)
            decided = self._decide(request)
            yield make_failure(request.key) if decided == "FAIL" else make_reply(request.key, make_choice(decided))


def judged(benchmark: Benchmark, decide: Decide, *, plan: Plan) -> tuple[Judgement, ...]:
    """Every question answered at once, without a file."""
    questions = plan_questions(benchmark, plan=plan)
    requests = plan_requests([question.prompt for question in questions], num_votes=plan.num_votes)
    answers = {request.key: make_reply(request.key, make_choice(decide(request))) for request in requests}
    return collect(questions, answers, num_votes=plan.num_votes)


def report_on(benchmark: Benchmark, decide: Decide, *, plan: Plan) -> BenchmarkReport:
    """The figures of a judge."""
    return summarise(judged(benchmark, decide, plan=plan))
