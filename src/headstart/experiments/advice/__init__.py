"""What the textbook rule advises, beside what was measured."""
