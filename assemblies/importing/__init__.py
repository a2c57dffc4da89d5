"""Policies that were trained elsewhere, as weights and a few lines of an assembly."""
