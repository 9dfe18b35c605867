"""Reward benchmarks and rankings: files and a judge in, every answer on disk and a report out.

files --load--> Benchmark, TaskFile --plan_requests--> JudgeRequest, one per pair, order and vote
                                                            | Answerer: our engines, or a chat endpoint
BenchmarkReport, RankingReport <--summarise, rank-- Answer <+  answers.jsonl, resumed by key (ask_unanswered)
"""
