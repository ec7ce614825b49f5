"""Which layers at which resolutions suit the data, and which side by side."""
