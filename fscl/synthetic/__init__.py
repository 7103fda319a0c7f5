"""Generated wildlife: photos for whoever has none at hand, the same for the same seed. No torch."""
