"""Fakes and reference implementations, shipped for the tests of whoever builds on this."""
