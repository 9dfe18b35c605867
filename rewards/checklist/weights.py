"""What each question is worth: weights by question id, from a file or all alike."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import did_you_mean
from rollout.checklist.questions import Checklist

MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Points that a yes is worth, never negative: every question is asked so that yes is good."""

    by_id: Mapping[str, float]

    def __post_init__(self) -> None:
        wrong = [f"{one}={weight}" for one, weight in self.by_id.items() if not 0.0 <= weight < math.inf]
        if wrong:
            raise ValueError(f"expected finite weights of at least 0, got {_some(wrong)}")

    @property
    def total(self) -> float:
        """Their sum, the score of a yes to everything."""
        return math.fsum(self.by_id.values())


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    checklist: str
    version: int
    weights: dict[str, float]


def equal_weights(checklist: Checklist) -> Weights:
    """All alike and 1 together: without learned weights the score is the share of yes."""
    return Weights(by_id=dict.fromkeys(checklist.ids, 1.0 / len(checklist.ids)))


def kept_weights(weights: Weights, *, checklist: Checklist) -> Weights:
    """The weights of a part of the checklist they were made for.

    Raises:
        ValueError: A question has no weight.
    """
    _check_known(checklist.ids, known=weights.by_id, what="have no weight")
    return Weights(by_id={one: weights.by_id[one] for one in checklist.ids})


def check_weights(weights: Weights, *, checklist: Checklist) -> None:
    """Refuse weights of other questions.

    Raises:
        ValueError: A question has no weight, or a weight no question.
    """
    _check_known(checklist.ids, known=weights.by_id, what="have no weight")
    _check_known(weights.by_id, known=checklist.ids, what="have a weight and are not in the checklist")


def read_weights(path: Path, *, checklist: Checklist) -> Weights:
    """Weights of this checklist, in this version, from a YAML or JSON file.

    Raises:
        ValueError: The file cannot be read, or holds other weights.
    """
    try:
        text = path.read_text(encoding="utf-8")
        file = _File.model_validate_json(
            text if path.suffix == ".json" else json.dumps(yaml.safe_load(text), default=str)
        )
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; learn weights, or use equal ones") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected weights as YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problems = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ValueError("\n".join(problems)) from error
    if (file.checklist, file.version) != (checklist.name, checklist.version):
        raise ValueError(
            f"{path}: weights of {file.checklist} version {file.version}, the checklist is {checklist.name} version "
            f"{checklist.version}; learn them anew"
        )
    try:
        weights = Weights(by_id=file.weights)
        check_weights(weights, checklist=checklist)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return weights


def write_weights(path: Path, *, weights: Weights, checklist: Checklist) -> None:
    """Write what ``read_weights`` reads.

    Raises:
        ValueError: The weights are those of another checklist.
    """
    check_weights(weights, checklist=checklist)
    by_id = {one: weights.by_id[one] for one in checklist.ids}
    file = _File(checklist=checklist.name, version=checklist.version, weights=by_id)
    values = file.model_dump()
    text = json.dumps(values, indent=1) + "\n" if path.suffix == ".json" else yaml.safe_dump(values, sort_keys=False)
    path.write_text(text, encoding="utf-8")


def _check_known(
    names: Mapping[str, float] | tuple[str, ...], *, known: Mapping[str, float] | tuple[str, ...], what: str
) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise ValueError(
            f"{len(names)} expected, {len(known)} there; {len(unknown)} questions {what}: {_some(unknown)}{hint}"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
