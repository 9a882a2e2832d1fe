"""What a user would pick instead, side by side with Bespeak: `python -m serving bench --peers`."""
