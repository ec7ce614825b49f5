"""A run on texts: the fit, its model, its report and its predictions."""
