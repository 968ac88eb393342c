"""Side-by-side measurements of the gateway and its peers on one machine, in one run."""
