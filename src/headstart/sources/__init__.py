"""Sources: what differs between images and texts. Everything above asks a source, not its kind."""
