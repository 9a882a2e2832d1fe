"""Service level objectives, proven on the machine at hand: `python -m serving bench --slo loadtests/slo.toml`."""
