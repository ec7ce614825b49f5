"""Backbones compared on one's own data: accuracy against cost."""
