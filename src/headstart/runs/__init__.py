"""From data to a run folder, and from a run folder to predictions."""
