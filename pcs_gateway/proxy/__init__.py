"""The data plane, in the order of a request's journey; `exchange` is its front page."""
