"""Acts that somebody asked of the service: each a row, and a process of the command line. docs/design/service.md"""
