"""Live: class bins on the page whose classifier is fitted again as pictures arrive."""
