"""How many images are enough: accuracy against images per class, and what more would bring."""
