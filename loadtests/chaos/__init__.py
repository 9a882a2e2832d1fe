"""What callers see while something happens to the server: `python -m serving bench --chaos`."""
