"""Which labels of a run look wrong, and which of its images should not be there."""
