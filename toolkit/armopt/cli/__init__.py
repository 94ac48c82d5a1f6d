"""The command line: one small file a command. `main` is the only place that turns errors into exit codes."""
