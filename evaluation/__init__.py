"""Judging the judge: completions in, tables out. May import: ``conf``, ``rollout``, ``rewards``."""
