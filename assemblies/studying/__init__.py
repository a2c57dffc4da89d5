"""What studies are made of: their description, cells, measures, claims and tables."""
