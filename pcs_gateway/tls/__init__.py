"""TLS as both planes need it: its sections of the configuration, certificates, contexts, names."""
