"""Yes/no questions about a picture or a video in, an interpretable score out.

questions (YAML, or VisionReward's files) -> answers -> readings (gates) -> scores by question, dimension and in all
                                                           +-> features of preference pairs -> weights
scores -> comparison of two | pairs in which one dominates the other, for DPO
"""
