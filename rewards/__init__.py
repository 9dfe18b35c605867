"""Scoring: rollout groups in, the same groups with rewards out.

May import: ``conf``, ``judge_client``, ``rollout``.
"""
