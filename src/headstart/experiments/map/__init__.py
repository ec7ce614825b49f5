"""The images of a run on a map, where what looks alike lies close together."""
