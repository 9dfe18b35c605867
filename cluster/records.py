"""The files of a run that are not the journal: evaluations, phase seconds, the curve and the summary."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from cluster.journal import METRICS_FILE, read_rows
from cluster.plot import plot_learning_curve
from evaluation.reports import Report, figures, format_table, headline

SUMMARY_LABELS = {"untrained": "untrained", "cold_start": "after cold start", "rl": "after RL"}
"""Evaluations a summary compares, and what its table calls them."""


class RunRecords:
    """Reads and writes a run folder, so that a resumed run knows what was found before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._evaluations = folder / "evaluation"
        self._seconds_file = folder / "seconds.json"
        self._headline: dict[str, float] | None = None

    def forget(self) -> None:
        """Delete what an earlier attempt left that never reached a checkpoint: it may be of other settings."""
        for name in ("start_model", "reference", "evaluation", "model"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("seconds.json", "summary.json"):
            (self.folder / name).unlink(missing_ok=True)

    def forget_reference(self) -> None:
        """Delete the model RL started from: the phases before it are being done again, or were never all done."""
        shutil.rmtree(self.folder / "reference", ignore_errors=True)

    def has_evaluation(self, label: str) -> bool:
        """Whether ``label`` was evaluated, in this process or before a resume."""
        return self._file(label).exists()

    def add_evaluation(self, label: str, report: Report, *, global_step: int, seconds: float) -> None:
        """Write one evaluation: every picture's verdict, and the numbers."""
        self._evaluations.mkdir(parents=True, exist_ok=True)
        values = {"label": label, "global_step": global_step, "seconds": seconds, **report.metrics()}
        write_json(self._file(label), {"metrics": values, "report": report.to_dict()})
        self._headline = None
        self.add_seconds("evaluation", seconds)

    def evaluations(self) -> list[dict[str, float | str]]:
        """The numbers of every evaluation, in training order."""
        rows = [json.loads(path.read_text())["metrics"] for path in self._evaluations.glob("*.json")]
        return sorted(rows, key=lambda row: row["global_step"])

    def numbers(self, label: str) -> dict[str, float]:
        """The numbers of one evaluation; empty when it was not made."""
        return _numbers(json.loads(self._file(label).read_text())["metrics"]) if self.has_evaluation(label) else {}

    def headline(self) -> dict[str, float]:
        """For the progress display: the newest held-out figure, when there is one."""
        if self._headline is None:  # asked for at every step, so the files are read once per evaluation
            known = [shown for row in self.evaluations() if (shown := headline(_numbers(row)))]
            self._headline = known[-1] if known else {}
        return self._headline

    def add_seconds(self, phase: str, seconds: float) -> None:
        """Add to the wall seconds of a phase, over resumes."""
        known = self.seconds()
        known[phase] = known.get(phase, 0.0) + seconds
        write_json(self._seconds_file, known)

    def seconds(self) -> dict[str, float]:
        """Wall seconds by phase."""
        if not self._seconds_file.exists():
            return {}
        known: dict[str, float] = json.loads(self._seconds_file.read_text())
        return known

    def write_curve(self, *, title: str) -> Path:
        """Draw the learning curve; returns its path."""
        path = self.folder / "learning_curve.png"
        plot_learning_curve(read_rows(self.folder / METRICS_FILE), self.evaluations(), path, title=title)
        return path

    def write_summary(self, *, versions: Mapping[str, str], run: Mapping[str, object]) -> dict[str, object]:
        """Write ``summary.json``: the figures of the run by phase; undefined ones are null."""
        rows = {str(row["label"]): figures(_numbers(row)) for row in self.evaluations()}
        named = {label: rows[label] for label in SUMMARY_LABELS if label in rows}
        names = list(dict.fromkeys(name for row in named.values() for name in row))
        summary: dict[str, object] = {
            "run": dict(run),
            **{name: {label: row.get(name) for label, row in named.items()} for name in names},
            "seconds": {phase: round(value, 1) for phase, value in self.seconds().items()},
            "versions": dict(versions),
        }
        write_json(self.folder / "summary.json", summary)
        return summary

    def table(self) -> str:
        """The held-out figures before, between and after, for a terminal."""
        rows = {str(row["label"]): row for row in self.evaluations()}
        named = {title: rows[label] for label, title in SUMMARY_LABELS.items() if label in rows}
        return format_table({title: _numbers(row) for title, row in named.items()})

    def _file(self, label: str) -> Path:
        return self._evaluations / f"{label}.json"


def write_json(path: Path, value: object) -> None:
    """Write a whole file or leave the old one."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    partial.replace(path)


def _numbers(row: Mapping[str, float | str]) -> dict[str, float]:
    return {key: value for key, value in row.items() if isinstance(value, float | int)}
