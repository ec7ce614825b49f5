"""Which layers are general and which specific (Yosinski et al. 2014)."""
