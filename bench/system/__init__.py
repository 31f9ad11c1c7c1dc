"""A whole node under load, each case beside its yardstick in the same run.

python -m bench.system [--reps 5] [--seconds 1.5] [--case NAME]... [--json FILE]
"""
