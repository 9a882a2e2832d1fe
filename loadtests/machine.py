"""What the machine has."""

from pathlib import Path


def available_bytes() -> int:
    """Memory that a new program can have: what the machine has left, or the limit of this group of processes."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    left = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text().strip().isdigit():
        left = min(left, int(limit.read_text()) - int(used.read_text()))
    return left
