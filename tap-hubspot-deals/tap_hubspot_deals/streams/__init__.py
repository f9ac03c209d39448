"""What goes out: Singer streams, their records, and the bookmarks between two runs."""
