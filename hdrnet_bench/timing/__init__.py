"""Timing: a model per resolution (network.py), the slicing kernels, training steps."""
