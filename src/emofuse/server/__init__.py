"""The local web application and its HTTP API (extra `web`): predict, live view and results in the browser."""
