"""Scores for files: listing, asking, reading, writing down, going on. Paths and a judge in, a folder out."""
