"""Allocation measured: batches, independent costs, baselines, and the suite of the targets."""
