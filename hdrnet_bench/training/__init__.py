"""Training: batches, the loop, checkpoints, several processes.

Open train.py first: the loop is Trainer.run; its batches are made in crops.py.
"""
