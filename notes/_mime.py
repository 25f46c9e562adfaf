"""The MIME types under which what a cell shows travels to the website, known to both ends and needing neither."""

FIGURE = "application/vnd.notes.figure+json"
CLAIM = "application/vnd.notes.claim+json"
PLAYGROUND = "application/vnd.notes.playground+json"
