"""Which unlabelled images to label next, and whether choosing them is worth it."""
