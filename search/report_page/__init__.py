"""The report of a search: one HTML file that needs nothing else, from the folder's files."""

from search.report_page.write import write_report

__all__ = ["write_report"]
