"""Dashboards and alert rules for those who run Bespeak, made from objectives.toml by `python -m ops`."""
