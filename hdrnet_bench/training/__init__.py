"""Training: batches, the loop (train.py), checkpoints, several processes."""
