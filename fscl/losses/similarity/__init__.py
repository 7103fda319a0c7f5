"""What the similarity loss is computed with: its two forms, who counts how much, and sums over processes."""
