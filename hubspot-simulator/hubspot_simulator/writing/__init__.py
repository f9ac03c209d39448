"""What programs write over HTTP: records, links and property definitions."""
