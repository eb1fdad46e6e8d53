"""A trained model on a user's pictures: which go where (plan.py), and the work (run.py)."""
