"""The records: what scans left, and how it is shown and written to files."""
