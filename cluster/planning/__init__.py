"""How long a step would take: arithmetic and a simulation, without Ray and without a model (docs/planning.md)."""
