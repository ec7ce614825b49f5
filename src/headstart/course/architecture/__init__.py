"""The table of an architecture: what each layer computes, and what it costs."""
