"""When to rely on a classifier: label sets, refusing, novelty, shift, wrong labels. Arrays only."""
