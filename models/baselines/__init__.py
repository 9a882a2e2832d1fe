"""Forecasters to compare with: naive, statistical, boosted trees, and ensembles of any models.

Those that need a package of requirements/challengers.in import it when they
are used, and say what to install when it is absent.
"""
