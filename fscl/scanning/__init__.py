"""Looking at photos before anything is trained: what is there, what is wrong, what belongs together. No torch."""
