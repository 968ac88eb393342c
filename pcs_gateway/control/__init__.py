"""The control plane: watches, decides, and publishes what it decided. Never carries traffic."""
