"""Measurements behind the claims of the README: ``make bench``."""
