"""The commands of the documentation, found and run."""
