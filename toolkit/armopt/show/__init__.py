"""Shows records and events to people. Nothing here decides anything."""
