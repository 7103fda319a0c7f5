"""The charts of a study: SVG, one module for each kind; `drawing` is how they all look."""
