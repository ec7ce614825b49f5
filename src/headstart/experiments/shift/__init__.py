"""What a shift of domain costs, and what unlabelled target images win back."""
