"""Sessions of requests, problems of RFC 9457, and what every page and endpoint shares."""
