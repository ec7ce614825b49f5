"""SIFT in bags of words and Fisher vectors against frozen features, on the same split."""
