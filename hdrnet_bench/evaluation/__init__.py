"""Evaluation: what is scored (job.py), the scorer (score.py), two results compared (compare.py)."""
