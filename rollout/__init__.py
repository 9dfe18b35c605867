"""Generation: prompts in, groups of completions out, new weights received in between. May import: ``conf``."""
