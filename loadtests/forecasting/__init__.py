"""Public data sets as tables for forecasters."""
