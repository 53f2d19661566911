"""The sections of the report: each file says one thing, `build.SECTIONS` orders them."""
