"""Look, don't trust: what a finished set really holds."""
