"""What a run will take on chips that are not there: memory, time, traffic, chip-hours."""
