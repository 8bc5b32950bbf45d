"""Tests of `Pyro5._auth`."""
