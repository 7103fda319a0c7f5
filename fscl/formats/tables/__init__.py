"""Tables of photos: CSV and its like, and Parquet."""
