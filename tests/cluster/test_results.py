"""The bench behind ``make results``: what it runs is valid and in order, and its page says what the runs came to."""

from pathlib import Path

import pytest

from cluster.bench.results import ANSWERS, LEVELS, ONE_CORE, READ, RUNS
from cluster.bench.results_page import SECTIONS, Figures, Tables, draw, page
from conf.load import load_run_config

KEYS = [*RUNS, *ANSWERS]


def figures(srcc: float | None, *, format: float = 0.99, credit: float | None = None) -> Figures:  # noqa: A002
    return Figures(srcc=srcc, plcc=srcc, format=format, credit=credit)


def tables(**known: list[Figures | None]) -> Tables:
    nothing: list[Figures | None] = [None, None]
    return Tables(figures={key: known.get(key.replace("-", "_"), nothing) for key in KEYS})


def text(made: Tables, *, remarks: str = "") -> str:
    return page(made, num_steps=60, sft_steps=600, remarks=remarks)


@pytest.mark.parametrize("key", list(RUNS))
def test_what_is_run_is_a_valid_configuration(key: str) -> None:
    run = RUNS[key]
    start = ("model.path=x", "model.size=null") if run.start else ()
    config = load_run_config([f"recipe={run.recipe}", ONE_CORE, *run.overrides, *start, f"run.name={key}"])
    assert config.data.kind in ("photo_distortions", "photo_defects")


def test_every_run_comes_once_and_after_what_it_starts_from() -> None:
    order = [key for level in LEVELS for key in level]
    assert sorted(order) == sorted(RUNS)
    levels = {key: number for number, level in enumerate(LEVELS) for key in level}
    assert all(levels[run.start] < levels[key] for key, run in RUNS.items() if run.start)


def test_every_row_of_the_page_is_a_run_or_a_way_to_read() -> None:
    assert {key for section in SECTIONS for key, _ in section.rows} <= set(KEYS)
    assert READ in RUNS


def test_supervised_steps_cost_what_rl_costs() -> None:
    sft = load_run_config(["recipe=demo", "model.path=x", "model.size=null", *RUNS["sft"].overrides])
    rl = load_run_config(["recipe=demo", "model.path=x", "model.size=null", *RUNS["rl2r"].overrides])
    num_sequences = rl.loop.num_steps * rl.rollout.prompts_per_step * rl.rollout.num_completions
    # Forward and backward are 3 units of work a token; sampling and scoring under the reference 1 each.
    assert sft.cold_start.num_steps * sft.cold_start.batch_size * 3 == num_sequences * 5


def test_a_row_shows_mean_ends_and_every_seed() -> None:
    row = next(line for line in text(tables(rapo=[figures(0.5), figures(0.7)])).splitlines() if "| RAPO |" in line)
    assert row == "| RAPO | 0.600 | 0.500 to 0.700 | 0.500 0.700 | 0.600 | 99.0 |"


def test_what_is_missing_or_undefined_is_a_dash_and_in_no_mean() -> None:
    shown = text(tables(rl2r=[figures(None), figures(0.25)], stage1=[figures(None, credit=0.25), None]))
    assert "| RL2R | 0.250 | 0.250 to 0.250 | - 0.250 | 0.250 | 99.0 |" in shown
    assert "| SFT only | - | - | - - | - | - |" in shown
    assert "in per cent by seed: 25.0." in shown


def test_remarks_below_the_tables_stay() -> None:
    assert text(tables(), remarks="## What it shows\n\nNothing yet.\n").endswith("## What it shows\n\nNothing yet.\n")


def test_the_picture_has_a_panel_for_every_table(tmp_path: Path) -> None:
    path = tmp_path / "results.png"
    draw(tables(rapo=[figures(0.5), figures(0.7)]), path)
    assert path.stat().st_size > 10_000
