"""Reward benchmarks: a benchmark's files and a judge in, every answer on disk and a report out.

files --rows, load--> Benchmark --plan_requests--> JudgeRequest, one per pair, order and vote
                                                        | Answerer: our engines, or a chat endpoint
BenchmarkReport <--summarise-- AnswerRow  <--run_benchmark--+  answers.jsonl, resumed by key
"""
