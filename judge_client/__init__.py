"""One question to the consistency judge, one verdict back. May import: ``conf``. The client itself has not been built yet."""
