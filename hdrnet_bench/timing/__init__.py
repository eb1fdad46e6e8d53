"""How long a model, the slicing kernels and a training step take, beside plain torch and a copy.

Open network.py first (a process for each size), then child.py and turns.py.
"""
