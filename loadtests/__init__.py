"""Load tests: they speak only gRPC, and import nothing of the service."""
