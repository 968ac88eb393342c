"""The data plane, in the order of the journey of a request."""
