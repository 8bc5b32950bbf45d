"""What real programs do with the library, documented or not: one topic per module."""
