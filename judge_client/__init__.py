"""One question to a judge, one verdict back, over the OpenAI chat protocol. May import: ``conf``."""
