"""The units that compute, the same in the worker's process and in Ray replicas."""
