"""Where a run begins or goes on, and what damaged checkpoints cost it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.checkpoint import CheckpointError, CheckpointFolder, Damage, RunState, read_state, step_of
from cluster.journal import Journal
from conf.effective import config_digest
from conf.schema import RunConfig
from rewards.trust import Alarm


@dataclass(frozen=True, kw_only=True, slots=True)
class StartingPoint:
    """Where a run begins, or goes on."""

    state: RunState
    checkpoint: Path | None
    """None at the beginning."""
    damaged: list[Damage]
    """Newer checkpoints that cannot be used, newest first."""

    @property
    def loss(self) -> str:
        """What the damage costs, for a person."""
        first, end = self.state.global_step, step_of(self.damaged[0].checkpoint)
        found = "; ".join(f"{one.checkpoint.name}: {one.why}" for one in self.damaged)
        return f"damaged and set aside ({found}), so optimizer steps {first} to {end - 1} are done again"


def starting_point(config: RunConfig, checkpoints: CheckpointFolder, *, versions: Mapping[str, str]) -> StartingPoint:
    """The newest checkpoint that is whole, or the beginning when there never was any.

    Raises:
        CheckpointError: All are damaged, it belongs to another configuration, or ``run.resume`` forbids to go on.
    """
    digest = config_digest(config)
    newest, damaged = checkpoints.newest_whole()
    if newest is None:
        fresh = RunState(
            phase="warm_up", next_step=0, global_step=0, policy_version=0, config_digest=digest, versions=dict(versions)
        )
        return StartingPoint(state=fresh, checkpoint=None, damaged=[])
    if config.run.resume == "never":
        raise CheckpointError(
            f"{newest} exists and run.resume=never; choose another run.name, or run.resume=auto to continue it"
        )
    return StartingPoint(state=read_state(newest, config_digest=digest), checkpoint=newest, damaged=damaged)


def journal_damage(journal: Journal, start_from: StartingPoint) -> None:
    """Count the damaged checkpoints among the alarms."""
    if start_from.damaged:
        alarm = Alarm(name="checkpoints/damaged", value=len(start_from.damaged), why=start_from.loss)
        # It belongs to the last step of the checkpoint that is used, so that no later resume drops it.
        journal.alarm(alarm, at="resume", global_step=start_from.state.global_step - 1)
