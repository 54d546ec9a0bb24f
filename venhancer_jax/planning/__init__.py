"""Plans: memory, time, traffic and chip-hours of a run on chips that need not be present."""
