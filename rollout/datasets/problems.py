"""What is wrong with a data set, all of it at once, with file and line."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

MAX_LISTED = 20

ProblemKind = Literal[
    "missing_file", "missing_folder", "no_folder", "empty_file", "file_type", "encoding", "columns", "json", "field",
    "number", "range", "scale", "dataset_name", "question", "answer", "responses", "hidden_responses", "duplicate",
    "missing_image", "unreadable_image", "missing_video", "unreadable_video", "leakage", "trace", "too_long",
    "too_long_demonstration",
]  # fmt: skip

REMEDIES: dict[ProblemKind, str] = {
    "missing_file": "correct the path; ~ is not expanded, and a relative path starts where the command is given",
    "missing_folder": "correct the path; ~ is not expanded, and a relative path starts where the command is given",
    "no_folder": (
        "give data.image_folder a folder for every data set, 'data.image_folder={NAME: FOLDER, ...}', or one for "
        "pictures and one for videos, {image: FOLDER, video: FOLDER}"
    ),
    "empty_file": "give a label file with at least one row",
    "encoding": "save the label file as UTF-8",
    "columns": (
        "declare the right data.label_format (or data.test_label_format), or mend the rows; names may not hold spaces"
    ),
    "file_type": "name a .jsonl, .json or .parquet file, or a folder of such files",
    "json": "write one JSON object per row, and declare the format it has; docs/data.md shows an example",
    "field": "write the row as the format asks; docs/data.md shows an example",
    "number": "write plain finite decimal numbers",
    "range": "declare the range the labels are given in, data.label_range.minimum and .maximum",
    "scale": (
        "say what range the labels are in (--range), map all files to one scale first (arbiter data convert), or give "
        "--rank-only where only ranks within a data set are rewarded"
    ),
    "dataset_name": "name the data set in every row; comparisons and metrics are kept apart by it",
    "question": "leave the human text empty, or make data.prompt and data.label_range say what the rows say",
    "answer": "say which answer is better as 1 or 2; ties cannot be trained on",
    "responses": "give two different answers",
    "hidden_responses": "use data.prompt=as_given and data.order=as_given, or write the rows in the plain format",
    "duplicate": "keep one row per picture or pair, and renumber ids when files are joined",
    "missing_image": "correct data.image_folder, or remove the rows",
    "unreadable_image": "replace the files, or remove the rows",
    "missing_video": "correct data.image_folder, or remove the rows",
    "unreadable_video": "replace the files, or remove the rows",
    "leakage": "no picture, video, reference scene or id may be in both splits; remove the rows from one",
    "trace": "collect the traces anew for these rows (arbiter collect-traces), or set data.traces=null",
    "too_long_demonstration": "raise rollout.max_model_len, lower model.max_pixels, or leave the rows out",
    "too_long": (
        "raise rollout.max_model_len, lower model.max_pixels or data.video, or leave the rows out, for which pairs "
        "have data.too_long=drop"
    ),
}
"""What to do about each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing to mend."""

    kind: ProblemKind
    where: str
    """``file:line``, or the file or folder alone."""
    what: str
    """What was expected and what came."""


class RowError(ValueError):
    """A row that cannot be used; the reader of the file adds where."""

    def __init__(self, kind: ProblemKind, what: str) -> None:
        super().__init__(what)
        self.kind: ProblemKind = kind
        self.what = what


_TYPES = ("str", "int", "float")
"""What pydantic puts into the place of a complaint besides names of fields."""


def row_error(error: ValidationError) -> RowError:
    """The complaint about a row that goes deepest, in one line."""
    # Of a field with alternatives, the shallow complaints are about the alternatives that were not meant.
    first = max(error.errors(include_url=False), key=lambda one: len(one["loc"]))
    parts = [part for part in first["loc"] if isinstance(part, int) or (part.isidentifier() and part not in _TYPES)]
    field = ".".join(map(str, parts))
    if first["type"] == "json_invalid":
        return RowError("json", f"not a JSON object: {first['msg']}")
    if field == "dataset_name":
        return RowError("dataset_name", f"dataset_name: {first['msg']}")
    return RowError("field", f"{field}: {first['msg']}" if field else first["msg"])


class DatasetProblems(ValueError):
    """Everything found wrong before anything was started; ``problems`` has the whole list."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(_message(self.problems))

    def __reduce__(self) -> tuple[type["DatasetProblems"], tuple[tuple[Problem, ...]]]:
        """Rebuild from the list, not from the message, when crossing processes."""
        return type(self), (self.problems,)


def _message(problems: Sequence[Problem]) -> str:
    if len(problems) == 1:
        (only,) = problems
        return f"{only.where}: {only.what}; {REMEDIES[only.kind]}. Nothing was started."
    counts = Counter(problem.kind for problem in problems)
    # Rare kinds first: ten thousand missing pictures must not hide the three wrong labels.
    ordered = sorted(problems, key=lambda problem: counts[problem.kind])
    listed = [f"  {problem.where}: {problem.what}" for problem in ordered[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        listed.append(f"  ... and {len(problems) - MAX_LISTED} more")
    remedies = [f"  {kind} ({count}): {REMEDIES[kind]}" for kind, count in counts.items()]
    return "\n".join([f"{len(problems)} problems in the data; nothing was started.", *listed, "What to do:", *remedies])
