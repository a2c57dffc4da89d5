"""Critics: what judges states and actions."""
