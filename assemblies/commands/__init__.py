"""The commands of the command line, by what they act on; imported for `--help`, so nothing heavy here."""
