"""Learning: scored groups in, a better policy out. May import: ``conf``, ``rollout``, ``rewards``."""
