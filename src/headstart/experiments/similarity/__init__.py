"""How far the images lie from those that a network was trained on."""
