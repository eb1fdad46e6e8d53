"""A trained model as a web page: one HTML file that enhances pictures in a browser, offline."""

from .page import write_page

__all__ = ["write_page"]
