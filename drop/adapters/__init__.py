"""Programs that run as workers in front of programs with a contract of their own.

An adapter is to the dataplane a worker of an ordinary kind. These here are written in Python and
need nothing but the standard library; `drop-lambda` (c_src/lambda.h) is one in C.
"""
