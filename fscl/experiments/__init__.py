"""Comparisons: which cells there are, running them, and keeping what they found."""
