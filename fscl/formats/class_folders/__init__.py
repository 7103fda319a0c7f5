"""Class folders: the folder that a photo lies in, or one above it, is its label; a zip of them as well."""
