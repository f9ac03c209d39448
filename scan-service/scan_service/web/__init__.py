"""The web pages: each is the HTML of answers that the API gives, through the same guard."""
