"""Writes ``docs/compiler-free.md``: ``python docs/compiler_free``, see ``families.py``."""

import typer
from families import main

typer.run(main)
