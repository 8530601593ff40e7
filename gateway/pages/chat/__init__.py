"""What the page /chat asks besides the API: conversations as turns, Markdown as HTML, an export."""
