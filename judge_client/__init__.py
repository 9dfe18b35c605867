"""One question to the consistency judge, one verdict back. May import: ``conf``. Not built yet."""
