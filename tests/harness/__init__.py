"""What several test folders need: databases, Meltano runs, and comparisons with the truth."""
