"""Stand-ins for older generations of this library."""
