"""What runs around the engine: the command line, the supervisor, the compute worker."""
