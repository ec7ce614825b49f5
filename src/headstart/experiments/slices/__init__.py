"""In which parts of the data a run is worse."""
