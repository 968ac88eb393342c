"""What `pcs-gateway demo` is made of: ports, configuration, processes, traffic, and what it says."""
