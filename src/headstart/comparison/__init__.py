"""Trainings and linear SVMs compared fairly: the same images, seeds and epochs, paired differences."""
