"""From a run, a baseline or another method's pictures to scores, and two results compared.

Open job.py first (what is measured), then measure.py and score.py; compare.py stands by itself.
"""
