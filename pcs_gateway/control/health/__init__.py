"""Active health checking: what one check does, and the prober that keeps doing it for every backend."""
