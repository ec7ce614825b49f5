"""Tiny images with nearest neighbours against frozen features: a lower baseline."""
