"""Compiled modules are kept, whatever the environment says: the suite starts hundreds of processes, and where each of
them compiles the package anew that is a good part of its time."""

import os
import sys

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
