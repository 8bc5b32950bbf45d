"""Modules for programs written for older generations of this library."""
