"""Programs that use this package as its users do: each is whole, short and meant to be copied.

README.md lists them. Only script.py is shared: it turns an error into one line and an exit code.
"""
