"""One HTML file that shows runs to people: no server, no network, no code from elsewhere (docs/adr/022-page.md)."""
