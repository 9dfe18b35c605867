"""Programs behind ``make bench-...``: each prints a table and leaves its rows under ``runs/bench``."""
