"""Device adapters that come with rtspikes; see the README beside this package for adding one."""
