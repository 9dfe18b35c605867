"""Sets of yes/no questions: what a checklist is, the ones that come with Arbiter, and how a question is put."""
