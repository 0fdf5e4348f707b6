"""The checks, a module for each part of the specifications; ``checks(site)`` returns them in order."""
