"""The `drop` command: one module per noun; `commands` is the surface, `quick` the short way in."""
