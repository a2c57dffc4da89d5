"""Sensors: components that measure what a brain or a body does, for whoever may see only that."""
