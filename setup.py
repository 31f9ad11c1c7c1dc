"""Hands the table of extensions in build_ext.py to setuptools; holds no logic of its own."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))  # a build back end does not put it there

import build_ext

setup(ext_modules=build_ext.setuptools_extensions(), cmdclass={"build_ext": build_ext.Command})
