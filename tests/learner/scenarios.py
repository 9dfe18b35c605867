"""What learner ranks do in tests; every function runs on all ranks at once."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conf.algorithms import AlgorithmConfig
from conf.schema import LearnerConfig
from learner.types import Rendezvous, ScoringRequest, TrainerScore, TrainingBatch
from learner.worker import LearnerWorker
from rollout.types import Demonstration
from tests.learner.builders import (
    make_demonstrations,
    make_family,
    make_grpo,
    make_picture_prompt,
    make_requests,
)

Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Losses and gradient norms by step, and the parameters afterwards."""

    losses: list[float]
    gradient_norms: list[float]
    parameters: dict[str, Vector]
    metrics: dict[str, float]


def make_worker(
    place: Rendezvous, folder: str, learner: LearnerConfig, algorithm: AlgorithmConfig, *, temperature: float = 1.0
) -> LearnerWorker:
    """A worker on this rank."""
    return LearnerWorker(
        place,
        model_folder=folder,
        family_factory=make_family,
        learner=learner,
        algorithm=algorithm,
        temperature=temperature,
        seed=0,
    )


class Collector:
    """A sender that keeps what it is sent."""

    def __init__(self) -> None:
        self.tensors: dict[str, Vector] = {}

    def send(self, manifest: Any, tensors: Any) -> None:
        """Keep copies, and check them against the manifest."""
        for entry, (name, tensor) in zip(manifest.entries, tensors, strict=True):
            assert (entry.name, entry.shape) == (name, tuple(tensor.shape))
            self.tensors[name] = tensor.float().cpu().numpy().copy()


def parameters_of(worker: LearnerWorker) -> dict[str, Vector]:
    """Full parameters by name."""
    collector = Collector()
    worker.publish(collector)
    return collector.tensors


def score(
    place: Rendezvous, *, folder: str, learner: LearnerConfig, algorithm: AlgorithmConfig, temperature: float = 1.0
) -> list[TrainerScore]:
    """Trainer's view of ``make_requests``."""
    worker = make_worker(place, folder, learner, algorithm, temperature=temperature)
    scores = worker.completion_logprobs(make_requests())
    worker.close()
    return scores


def policy_steps(
    place: Rendezvous,
    *,
    folder: str,
    learner: LearnerConfig,
    algorithm: AlgorithmConfig,
    batch: TrainingBatch,
    num_steps: int = 3,
    scores_between: bool = False,
) -> Outcome:
    """Learn from the same batch ``num_steps`` times, scoring without gradient in between when asked."""
    worker = make_worker(place, folder, learner, algorithm)
    worker.start_phase("rl", reference_folder=folder)
    reports = []
    for step in range(num_steps):
        if scores_between:
            worker.completion_logprobs(make_requests())
        reports.append(worker.policy_step(batch, step=step).metrics)
    parameters = parameters_of(worker)
    worker.close()
    return Outcome(
        losses=[report["learner/loss"] for report in reports],
        gradient_norms=[report["learner/gradient_norm"] for report in reports],
        parameters=parameters,
        metrics=dict(reports[-1]) if reports else {},
    )


def supervised_steps(
    place: Rendezvous,
    *,
    folder: str,
    learner: LearnerConfig,
    num_steps: int = 3,
    demonstrations: Sequence[Demonstration] = tuple(make_demonstrations()),
) -> Outcome:
    """Imitate ``demonstrations`` ``num_steps`` times."""
    worker = make_worker(place, folder, learner, make_grpo())
    worker.start_phase("warm_up", reference_folder=None)
    reports = [worker.supervised_step(demonstrations, step=step, learning_rate=1e-3) for step in range(num_steps)]
    parameters = parameters_of(worker)
    worker.close()
    return Outcome(
        losses=[report["supervised/loss"] for report in reports],
        gradient_norms=[report["supervised/gradient_norm"] for report in reports],
        parameters=parameters,
        metrics=reports[-1],
    )


def supervised_losses(
    place: Rendezvous, *, folder: str, learner: LearnerConfig, size: int = 4
) -> tuple[list[float], list[float], dict[str, Vector]]:
    """Before each of three steps, the loss without learning; then the losses of the steps, and the parameters."""
    worker = make_worker(place, folder, learner, make_grpo())
    worker.start_phase("cold_start", reference_folder=None)
    demonstrations = make_demonstrations()[:size]
    measured, learned = [], []
    for step in range(3):
        measured.append(worker.supervised_loss(demonstrations))
        learned.append(worker.supervised_step(demonstrations, step=step, learning_rate=1e-3)["supervised/loss"])
    parameters = parameters_of(worker)
    worker.close()
    return measured, learned, parameters


def plain_supervised_steps(place: Rendezvous, *, folder: str, learner: LearnerConfig) -> Outcome:
    """The same by the book: transformers, a log-softmax over all logits, torch's AdamW."""
    del place
    family = make_family(folder)
    model = family.load_model(dtype=torch.float32, attention="sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=learner.betas, weight_decay=learner.weight_decay)
    losses, norms = [], []
    for _ in range(3):
        nats: list[torch.Tensor] = []
        for one in make_demonstrations():
            target = family.encode_target(one.target)
            encoded = family.encode(one.prompt)
            logits = model(**family.forward_arguments([(encoded, target)])).logits[0]
            logits[:, list(family.banned_token_ids)] = float("-inf")
            predicting = slice(len(encoded.token_ids) - 1, len(encoded.token_ids) + len(target) - 1)
            wanted = torch.from_numpy(target.astype(np.int64))
            nats.append(torch.nn.functional.cross_entropy(logits[predicting], wanted, reduction="none"))
        loss = torch.cat(nats).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), learner.max_grad_norm).item())
        optimizer.step()
        losses.append(loss.item())
    parameters = {name: value.detach().numpy() for name, value in model.named_parameters()}
    return Outcome(losses=losses, gradient_norms=norms, parameters=parameters, metrics={})


def interrupted_policy_steps(
    place: Rendezvous,
    *,
    folder: str,
    learner: LearnerConfig,
    batch: TrainingBatch,
    checkpoint: str,
) -> Outcome:
    """Two steps, a checkpoint, another worker that goes on for two."""
    first = make_worker(place, folder, learner, make_grpo())
    first.start_phase("rl", reference_folder=None)
    losses = [first.policy_step(batch, step=step).metrics["learner/loss"] for step in range(2)]
    first.save_checkpoint(checkpoint, extra={"step": 2})
    draws = (random.random(), torch.rand(1).item())
    first.close()
    second = make_worker(place, folder, learner, make_grpo())
    second.start_phase("rl", reference_folder=None)
    extra = second.load_checkpoint(checkpoint)
    assert draws == (random.random(), torch.rand(1).item())
    reports = [second.policy_step(batch, step=step).metrics for step in range(int(extra["step"]), 4)]
    parameters = parameters_of(second)
    second.close()
    return Outcome(
        losses=losses + [report["learner/loss"] for report in reports],
        gradient_norms=[],
        parameters=parameters,
        metrics=dict(reports[-1]) if reports else {},
    )


def load_checkpoint(place: Rendezvous, *, folder: str, learner: LearnerConfig, checkpoint: str) -> None:
    """Only load."""
    make_worker(place, folder, learner, make_grpo()).load_checkpoint(checkpoint)


def step_and_export(
    place: Rendezvous, *, folder: str, learner: LearnerConfig, batch: TrainingBatch, export_to: str
) -> list[TrainerScore]:
    """One step, then an export; the scores are those of the exported weights."""
    worker = make_worker(place, folder, learner, make_grpo())
    worker.start_phase("rl", reference_folder=None)
    worker.policy_step(batch, step=0)
    worker.export(export_to)
    scores = worker.completion_logprobs(make_requests())
    worker.close()
    return scores


def two_phases(
    place: Rendezvous, *, folder: str, learner: LearnerConfig, batch: TrainingBatch, export_to: str
) -> tuple[dict[str, Vector], dict[str, Vector]]:
    """Parameters after a step of a second phase: of the same worker, and of a new one on exported weights."""
    found = []
    same = make_worker(place, folder, learner, make_grpo())
    same.start_phase("warm_up", reference_folder=None)
    same.supervised_step(make_demonstrations(), step=0, learning_rate=1e-2)
    same.export(export_to)
    other = make_worker(place, export_to, learner, make_grpo())
    for worker in (same, other):
        worker.start_phase("rl", reference_folder=None)
        worker.policy_step(batch, step=0)
        found.append(parameters_of(worker))
        worker.close()
    return found[0], found[1]


def publish_from_first_rank(place: Rendezvous, *, folder: str, learner: LearnerConfig) -> tuple[int, str]:
    """Tensors sent by this rank, and the digest of its weights."""
    worker = make_worker(place, folder, learner, make_grpo())
    collector = Collector() if place.rank == 0 else None
    worker.publish(collector)
    digest = worker.weights_digest()
    worker.close()
    return len(collector.tensors) if collector else 0, digest


def failing_supervised_step(place: Rendezvous, *, folder: str, learner: LearnerConfig, target: str) -> str:
    """What the worker says to an answer it must not imitate."""
    worker = make_worker(place, folder, learner, make_grpo())
    demonstration = Demonstration(prompt=make_picture_prompt(0), target=target)
    try:
        worker.supervised_step([demonstration], step=0, learning_rate=1e-3)
    except ValueError as error:
        return str(error)
    finally:
        worker.close()
    return "nothing"


def failing_policy_step(place: Rendezvous, *, folder: str, learner: LearnerConfig, batch: TrainingBatch) -> str:
    """What the worker says to a batch it must refuse."""
    worker = make_worker(place, folder, learner, make_grpo())
    worker.start_phase("rl", reference_folder=None)
    try:
        worker.policy_step(batch, step=4)
    except (ArithmeticError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        worker.close()
    return "nothing"


def score_same_answer_to_two_pictures(place: Rendezvous, *, folder: str, learner: LearnerConfig) -> list[TrainerScore]:
    """One completion under two prompts."""
    worker = make_worker(place, folder, learner, make_grpo())
    first, *_, last = make_requests()
    scores = worker.completion_logprobs([first, ScoringRequest(prompt=last.prompt, token_ids=first.token_ids)])
    worker.close()
    return scores
