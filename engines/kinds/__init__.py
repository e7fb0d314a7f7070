"""A file for each kind of engine: its section of the configuration, and what is made of it.

I want to add a kind: a file here with a section (a subclass of `engines.kinds.section.EngineSection`), and a row in
`engines.registry`. Rules that span its keys: `gateway.settings.checks`.
"""
