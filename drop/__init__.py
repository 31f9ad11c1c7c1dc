"""DROP runs any program that reads stdin and writes stdout as a function.

Importing this package costs nothing: `drop.client` is what a program that calls functions needs.
"""

__version__ = "0.1.0"
