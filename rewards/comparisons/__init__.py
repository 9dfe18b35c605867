"""Verdicts on pairs in, one number per item out: a reward inside a group, against references, or a ranking.

plans -> pairs to ask about -> verdicts -> (merge_orders) -> Tally -> strengths or win rates -> scores
                                                               +---> structure: what the verdicts can tell
"""
