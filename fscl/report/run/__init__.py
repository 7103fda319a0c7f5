"""A single run as a page: what it scored, which photos it got wrong, and what to do next."""
