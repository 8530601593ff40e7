"""Between the sockets and the routes: what a request must be, and how answers are streamed."""
