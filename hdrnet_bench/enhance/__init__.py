"""A trained model on a user's photographs, many files with bounded memory.

Open run.py first, which does the work; plan.py says which picture goes where, and colours.py how
its colours become the model's and come back.
"""
