"""What runs around the engine: the command line, the supervisor, the compute worker."""

import os

# Processes are forked here only to run other programs. gRPC's handlers would stop its threads for each fork and start
# them again in the child, where they have crashed. It reads this when it is first imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
