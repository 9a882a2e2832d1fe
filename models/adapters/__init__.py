"""Forecasters that speak to models made elsewhere."""
